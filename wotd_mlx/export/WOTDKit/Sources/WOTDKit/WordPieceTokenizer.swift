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

/// BERT's WordPiece, over a bundle's pieces; gives the tokens that the `tokenizers` library gives.
///
/// It works on Unicode scalars and bytes throughout. `Character` and `String` treat é and e with a combining accent as
/// equal, which WordPiece must not. A text is read as far as the tokens need it, and never held as a whole.
public struct WordPieceTokenizer: Sendable {
    private let table: TableFile
    private let settings: Manifest.Tokenizer
    private let normalizer: BertNormalizer
    /// The pieces that go on with a word.
    private let following: SortedTexts.Matches
    /// Added tokens that are looked for in the text as it stands.
    private let literalTokens: [AddedToken]
    /// Added tokens that are looked for in the normalised text.
    private let normalizedTokens: [AddedToken]

    /// Reads a bundle's manifest and table; throws `WOTDError` where they can't be read, or have no pieces.
    public init(bundle: URL) throws {
        let manifest = try Manifest.read(bundle: bundle)
        guard let words = manifest.words, let settings = manifest.tokenizer else {
            throw WOTDError("manifest.json has no words or no tokenizer; export a text-encoder")
        }
        try self.init(words: WordTable(bundle: bundle, words: words), settings: settings)
    }

    /// The tokenizer over a table's pieces; throws `WOTDError` where it has none.
    public init(words: WordTable, settings: Manifest.Tokenizer) throws {
        table = words.file
        guard table.pieces.count > 0 else {
            throw WOTDError("the word table has no pieces, expected a tokenizer's; export a text-encoder")
        }
        self.settings = settings
        following = table.pieces.narrowed(table.pieces.all, by: settings.prefix.utf8)
        let normalizer = BertNormalizer(
            cleanText: settings.cleanText,
            handleChineseChars: settings.handleChineseChars,
            stripAccents: settings.stripAccents,
            lowercase: settings.lowercase,
            longestWord: settings.longestWord
        )
        self.normalizer = normalizer
        literalTokens = settings.added.filter { !$0.normalized }.map {
            AddedToken(scalars: Array($0.text.unicodeScalars), id: $0.id)
        }
        normalizedTokens = settings.added.filter(\.normalized).map {
            AddedToken(scalars: normalizer.apply($0.text.unicodeScalars), id: $0.id)
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
        let tokens = ([settings.startID] + found.prefix(room) + [settings.endID]).prefix(length)
        let blank = length - tokens.count
        return Tokens(
            tokens: tokens + Array(repeating: settings.padID, count: blank),
            mask: Array(repeating: 1, count: tokens.count) + Array(repeating: 0, count: blank),
            isTruncated: found.count > room
        )
    }

    /// The pieces of a text: all that it has, or the first `count` and what is left of the word that they end in.
    private func pieces(of text: some Sequence<Unicode.Scalar>, atLeast count: Int) -> [Int32] {
        let raw = FoundTokens(text.lazy.map(Unit.scalar).makeIterator(), tokens: literalTokens)
        var units = FoundTokens(NormalizedUnits(raw, rules: normalizer), tokens: normalizedTokens)
        var ids: [Int32] = []
        var word = Word()

        func endWord() {
            ids += pieces(of: word)
            word.removeAll()
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
                if word.scalars <= normalizer.longestWord {
                    word.append(scalar)
                }
            }
        }
        endWord()
        return ids
    }

    /// Greedy: the longest piece that fits, then the longest that goes on; one unknown token where nothing fits.
    private func pieces(of word: Word) -> [Int32] {
        if word.scalars > normalizer.longestWord {
            return [settings.unknownID]
        }
        var ids: [Int32] = []
        var rest = word.bytes[...]
        while !rest.isEmpty {
            let possible = rest.startIndex == 0 ? table.pieces.all : following
            guard let found = table.pieces.longest(possible, startOf: rest) else {
                return [settings.unknownID]
            }
            ids.append(table.pieceNumber(of: found.row))
            rest = rest.dropFirst(found.length)
        }
        return ids
    }
}

/// A word on its way to pieces.
private struct Word {
    private(set) var bytes: [UInt8] = []
    private(set) var scalars = 0

    mutating func append(_ scalar: Unicode.Scalar) {
        bytes.append(contentsOf: scalar.utf8)
        scalars += 1
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        scalars = 0
    }
}
