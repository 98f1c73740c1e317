import Foundation

/// A text as a BERT encoder wants it: `[CLS]`, the pieces, `[SEP]`, padded on the right.
public struct Tokens: Hashable, Sendable {
    public let tokens: [Int32]
    /// 1 for a token that counts, 0 for padding.
    public let mask: [Int32]

    public init(tokens: [Int32], mask: [Int32]) {
        self.tokens = tokens
        self.mask = mask
    }
}

/// BERT's WordPiece, read from a `tokenizer.json`; gives the tokens that the `tokenizers` library gives.
///
/// It works on Unicode scalars throughout. `Character` and `String` treat é and e with a combining accent as equal,
/// which WordPiece must not.
public struct WordPieceTokenizer: Sendable {
    private struct AddedToken: Sendable {
        let scalars: [Unicode.Scalar]
        let id: Int32
    }

    private enum Part {
        case text([Unicode.Scalar])
        case token(Int32)
    }

    private let normalizer: BertNormalizer
    /// Every piece, to start a word with.
    private let first: [[Unicode.Scalar]: Int32]
    /// The pieces that go on with a word, without their prefix.
    private let following: [[Unicode.Scalar]: Int32]
    private let longestPiece: Int
    private let longestWord: Int
    private let unknown: Int32
    private let start: Int32
    private let end: Int32
    private let padding: Int32
    /// Added tokens that are looked for in the text as it stands, the longest first.
    private let literalTokens: [AddedToken]
    /// Added tokens that are looked for in the normalised text, the longest first.
    private let normalizedTokens: [AddedToken]

    /// Reads a `tokenizer.json`.
    public init(url: URL) throws {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw WOTDError("\(url.lastPathComponent) can't be read: \(error.localizedDescription)")
        }
        try self.init(data: data)
    }

    /// Reads a `tokenizer.json`'s contents; throws `WOTDError` where it is not BERT's WordPiece.
    public init(data: Data) throws {
        let file: TokenizerFile
        do {
            file = try JSONDecoder().decode(TokenizerFile.self, from: data)
        } catch {
            throw WOTDError("tokenizer.json can't be read: \(error)")
        }
        try WordPieceTokenizer.check(file)

        let prefix: [Unicode.Scalar] = Array((file.model.prefix ?? "##").unicodeScalars)
        var first: [[Unicode.Scalar]: Int32] = [:]
        var following: [[Unicode.Scalar]: Int32] = [:]
        var longestPiece: Int = 0
        first.reserveCapacity(file.model.vocab.count)
        for (piece, id) in file.model.vocab {
            let scalars: [Unicode.Scalar] = Array(piece.unicodeScalars)
            first[scalars] = id
            if scalars.starts(with: prefix) {
                following[Array(scalars.dropFirst(prefix.count))] = id
            }
            longestPiece = max(longestPiece, scalars.count)
        }

        let lowercase: Bool = file.normalizer.lowercase ?? true
        let normalizer = BertNormalizer(
            cleanText: file.normalizer.cleanText ?? true,
            handleChineseChars: file.normalizer.handleChineseChars ?? true,
            stripAccents: file.normalizer.stripAccents ?? lowercase,
            lowercase: lowercase
        )
        var literalTokens: [AddedToken] = []
        var normalizedTokens: [AddedToken] = []
        for token in file.addedTokens ?? [] {
            let scalars: [Unicode.Scalar] = Array(token.content.unicodeScalars)
            if token.normalized ?? false {
                normalizedTokens.append(AddedToken(scalars: normalizer.apply(scalars), id: token.id))
            } else {
                literalTokens.append(AddedToken(scalars: scalars, id: token.id))
            }
        }

        self.normalizer = normalizer
        self.first = first
        self.following = following
        self.longestPiece = longestPiece
        self.longestWord = file.model.longestWord ?? 100
        self.unknown = try WordPieceTokenizer.id(of: file.model.unknown ?? "[UNK]", in: file)
        self.start = try WordPieceTokenizer.id(of: "[CLS]", in: file)
        self.end = try WordPieceTokenizer.id(of: "[SEP]", in: file)
        self.padding = try WordPieceTokenizer.id(of: "[PAD]", in: file)
        self.literalTokens = WordPieceTokenizer.longestFirst(literalTokens)
        self.normalizedTokens = WordPieceTokenizer.longestFirst(normalizedTokens)
    }

    /// The tokens of a text, `maxLength` of them: what is too long is cut, `[CLS]` and `[SEP]` stay.
    public func encode(_ text: String, maxLength: Int) -> Tokens {
        let length: Int = max(0, maxLength)
        var tokens: [Int32] = [start]
        tokens.append(contentsOf: pieces(of: text, limit: max(0, length - 2)))
        tokens.append(end)
        tokens = Array(tokens.prefix(length))
        var mask: [Int32] = Array(repeating: 1, count: tokens.count)
        while tokens.count < length {
            tokens.append(padding)
            mask.append(0)
        }
        return Tokens(tokens: tokens, mask: mask)
    }

    /// The first `limit` pieces of a text.
    private func pieces(of text: String, limit: Int) -> [Int32] {
        var ids: [Int32] = []
        for part in WordPieceTokenizer.split(Array(text.unicodeScalars), at: literalTokens) {
            switch part {
            case .token(let id):
                ids.append(id)
            case .text(let raw):
                for inner in WordPieceTokenizer.split(normalizer.apply(raw), at: normalizedTokens) {
                    switch inner {
                    case .token(let id):
                        ids.append(id)
                    case .text(let clean):
                        for word in WordPieceTokenizer.words(clean) {
                            ids.append(contentsOf: pieces(ofWord: word))
                            if ids.count >= limit {
                                return Array(ids.prefix(limit))
                            }
                        }
                    }
                }
            }
        }
        return Array(ids.prefix(limit))
    }

    /// Greedy: the longest piece that fits, then the longest that goes on; one unknown token where nothing fits.
    private func pieces(ofWord word: [Unicode.Scalar]) -> [Int32] {
        if word.count > longestWord {
            return [unknown]
        }
        var ids: [Int32] = []
        var from: Int = 0
        while from < word.count {
            var to: Int = min(word.count, from + longestPiece)
            var found: Int32? = nil
            while to > from {
                let candidate: [Unicode.Scalar] = Array(word[from..<to])
                found = from == 0 ? first[candidate] : following[candidate]
                if found != nil {
                    break
                }
                to -= 1
            }
            guard let id = found else {
                return [unknown]
            }
            ids.append(id)
            from = to
        }
        return ids
    }

    /// Splits at whitespace, which goes, and around punctuation, which stays.
    private static func words(_ text: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
        var words: [[Unicode.Scalar]] = []
        var word: [Unicode.Scalar] = []
        for scalar in text {
            let isSpace: Bool = BertNormalizer.isWhitespace(scalar)
            let isMark: Bool = BertNormalizer.isPunctuation(scalar)
            if !isSpace && !isMark {
                word.append(scalar)
                continue
            }
            if !word.isEmpty {
                words.append(word)
                word = []
            }
            if isMark {
                words.append([scalar])
            }
        }
        if !word.isEmpty {
            words.append(word)
        }
        return words
    }

    /// Cuts a text at the added tokens in it: the leftmost first, the longest of those that start at one place.
    private static func split(_ text: [Unicode.Scalar], at tokens: [AddedToken]) -> [Part] {
        if tokens.isEmpty {
            return [Part.text(text)]
        }
        var parts: [Part] = []
        var between: [Unicode.Scalar] = []
        var position: Int = 0
        while position < text.count {
            if let token = WordPieceTokenizer.match(in: text, at: position, among: tokens) {
                if !between.isEmpty {
                    parts.append(Part.text(between))
                    between = []
                }
                parts.append(Part.token(token.id))
                position += token.scalars.count
            } else {
                between.append(text[position])
                position += 1
            }
        }
        if !between.isEmpty {
            parts.append(Part.text(between))
        }
        return parts
    }

    private static func match(in text: [Unicode.Scalar], at position: Int, among tokens: [AddedToken]) -> AddedToken? {
        for candidate in tokens {
            if text[position...].starts(with: candidate.scalars) {
                return candidate
            }
        }
        return nil
    }

    private static func longestFirst(_ tokens: [AddedToken]) -> [AddedToken] {
        let filled: [AddedToken] = tokens.filter { !$0.scalars.isEmpty }
        return filled.sorted { (a: AddedToken, b: AddedToken) -> Bool in
            return a.scalars.count > b.scalars.count
        }
    }

    private static func id(of name: String, in file: TokenizerFile) throws -> Int32 {
        if let id = file.model.vocab[name] {
            return id
        }
        for token in file.addedTokens ?? [] where token.content == name {
            return token.id
        }
        throw WOTDError("tokenizer.json has no \(name)")
    }

    private static func check(_ file: TokenizerFile) throws {
        let parts: [(String, String, String)] = [
            ("model", file.model.type ?? "WordPiece", "WordPiece"),
            ("normalizer", file.normalizer.type, "BertNormalizer"),
            ("pre_tokenizer", file.preTokenizer.type, "BertPreTokenizer"),
        ]
        for (part, found, expected) in parts where found != expected {
            throw WOTDError("tokenizer.json has the \(part) \(found), expected \(expected)")
        }
        for token in file.addedTokens ?? [] where token.singleWord ?? false {
            throw WOTDError("tokenizer.json has \(token.content) with single_word, which is not supported")
        }
        // Pieces that are canonically equivalent are one key to a Swift dictionary: their ids would be missing.
        let largest: Int = Int(file.model.vocab.values.max() ?? -1)
        if file.model.vocab.count <= largest {
            let count: Int = file.model.vocab.count
            throw WOTDError("tokenizer.json has \(count) distinct pieces but ids up to \(largest)")
        }
    }
}

/// The parts of a `tokenizer.json` that count here.
private struct TokenizerFile: Decodable {
    struct Model: Decodable {
        let type: String?
        let vocab: [String: Int32]
        let unknown: String?
        let prefix: String?
        let longestWord: Int?

        enum CodingKeys: String, CodingKey {
            case type
            case vocab
            case unknown = "unk_token"
            case prefix = "continuing_subword_prefix"
            case longestWord = "max_input_chars_per_word"
        }
    }

    struct Normalizer: Decodable {
        let type: String
        let cleanText: Bool?
        let handleChineseChars: Bool?
        let stripAccents: Bool?
        let lowercase: Bool?

        enum CodingKeys: String, CodingKey {
            case type
            case lowercase
            case cleanText = "clean_text"
            case handleChineseChars = "handle_chinese_chars"
            case stripAccents = "strip_accents"
        }
    }

    struct PreTokenizer: Decodable {
        let type: String
    }

    struct AddedToken: Decodable {
        let id: Int32
        let content: String
        let normalized: Bool?
        let singleWord: Bool?

        enum CodingKeys: String, CodingKey {
            case id
            case content
            case normalized
            case singleWord = "single_word"
        }
    }

    let model: Model
    let normalizer: Normalizer
    let preTokenizer: PreTokenizer
    let addedTokens: [AddedToken]?

    enum CodingKeys: String, CodingKey {
        case model
        case normalizer
        case preTokenizer = "pre_tokenizer"
        case addedTokens = "added_tokens"
    }
}
