import Foundation

/// A text as a BERT encoder wants it: `[CLS]`, the pieces, `[SEP]`, padded on the right.
public struct Tokens: Hashable, Sendable {
    public let tokens: [Int32]
    /// 1 for a token that counts, 0 for padding.
    public let mask: [Int32]
    /// Whether the text had more pieces than there was room for.
    public let isTruncated: Bool

    public init(tokens: [Int32], mask: [Int32], isTruncated: Bool = false) {
        self.tokens = tokens
        self.mask = mask
        self.isTruncated = isTruncated
    }
}

/// BERT's WordPiece, read from a `tokenizer.json`; gives the tokens that the `tokenizers` library gives.
///
/// It works on Unicode scalars throughout. `Character` and `String` treat é and e with a combining accent as equal,
/// which WordPiece must not. A text is read as far as the tokens need it, and never held as a whole.
public struct WordPieceTokenizer: Sendable {
    private let normalizer: BertNormalizer
    /// Every piece, to start a word with.
    private let first: [[Unicode.Scalar]: Int32]
    /// The pieces that go on with a word, without their prefix.
    private let following: [[Unicode.Scalar]: Int32]
    private let longestPiece: Int
    private let unknown: Int32
    private let start: Int32
    private let end: Int32
    private let padding: Int32
    /// Added tokens that are looked for in the text as it stands.
    private let literalTokens: [AddedToken]
    /// Added tokens that are looked for in the normalised text.
    private let normalizedTokens: [AddedToken]

    /// Reads a `tokenizer.json`; throws `WOTDError` where it is not BERT's WordPiece.
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
        try file.check()

        let pieces = file.model.vocab.map { (Array($0.unicodeScalars), $1) }
        let prefix = Array((file.model.prefix ?? "##").unicodeScalars)
        let following = pieces.filter { $0.0.starts(with: prefix) }.map { (Array($0.dropFirst(prefix.count)), $1) }
        first = Dictionary(uniqueKeysWithValues: pieces)
        self.following = Dictionary(uniqueKeysWithValues: following)
        longestPiece = pieces.map(\.0.count).max() ?? 0
        unknown = try file.id(of: file.model.unknown ?? "[UNK]")
        start = try file.id(of: "[CLS]")
        end = try file.id(of: "[SEP]")
        padding = try file.id(of: "[PAD]")

        let lowercase = file.normalizer.lowercase ?? true
        let normalizer = BertNormalizer(
            cleanText: file.normalizer.cleanText ?? true,
            handleChineseChars: file.normalizer.handleChineseChars ?? true,
            stripAccents: file.normalizer.stripAccents ?? lowercase,
            lowercase: lowercase,
            longestWord: file.model.longestWord ?? 100
        )
        self.normalizer = normalizer
        let added = file.addedTokens ?? []
        literalTokens = added.filter { !($0.normalized ?? false) }.map {
            AddedToken(scalars: Array($0.content.unicodeScalars), id: $0.id)
        }
        normalizedTokens = added.filter { $0.normalized ?? false }.map {
            AddedToken(scalars: normalizer.apply($0.content.unicodeScalars), id: $0.id)
        }
    }

    /// The tokens of a text, `maxLength` of them: what is too long is cut, `[CLS]` and `[SEP]` stay.
    public func encode(_ text: String, maxLength: Int) -> Tokens {
        encode(text.unicodeScalars, maxLength: maxLength)
    }

    func encode(_ text: some Sequence<Unicode.Scalar>, maxLength: Int) -> Tokens {
        let length = max(0, maxLength)
        let room = max(0, length - 2)
        let found = pieces(of: text, atLeast: room + 1)
        let tokens = ([start] + found.prefix(room) + [end]).prefix(length)
        let blank = length - tokens.count
        return Tokens(
            tokens: tokens + Array(repeating: padding, count: blank),
            mask: Array(repeating: 1, count: tokens.count) + Array(repeating: 0, count: blank),
            isTruncated: found.count > room
        )
    }

    /// The pieces of a text: all that it has, or the first `count` and what is left of the word that they end in.
    private func pieces(of text: some Sequence<Unicode.Scalar>, atLeast count: Int) -> [Int32] {
        let raw = FoundTokens(text.lazy.map(Unit.scalar).makeIterator(), tokens: literalTokens)
        var units = FoundTokens(NormalizedUnits(raw, rules: normalizer), tokens: normalizedTokens)
        var ids: [Int32] = []
        var word: [Unicode.Scalar] = []

        func endWord() {
            ids += pieces(ofWord: word)
            word.removeAll(keepingCapacity: true)
        }

        while ids.count < count, let unit = units.next() {
            switch unit {
            case .token(let id):
                endWord()
                ids.append(id)
            case .scalar(let scalar) where BertNormalizer.isWhitespace(scalar):
                endWord()
            case .scalar(let scalar) where BertNormalizer.isPunctuation(scalar):
                endWord()
                word.append(scalar)
                endWord()
            case .scalar(let scalar):
                // One more than the longest says enough of a longer one.
                if word.count <= normalizer.longestWord {
                    word.append(scalar)
                }
            }
        }
        endWord()
        return ids
    }

    /// Greedy: the longest piece that fits, then the longest that goes on; one unknown token where nothing fits.
    private func pieces(ofWord word: [Unicode.Scalar]) -> [Int32] {
        if word.count > normalizer.longestWord {
            return [unknown]
        }
        var ids: [Int32] = []
        var from = 0
        while from < word.count {
            let pieces = from == 0 ? first : following
            var to = min(word.count, from + longestPiece)
            while to > from, pieces[Array(word[from..<to])] == nil {
                to -= 1
            }
            guard to > from, let id = pieces[Array(word[from..<to])] else {
                return [unknown]
            }
            ids.append(id)
            from = to
        }
        return ids
    }
}
