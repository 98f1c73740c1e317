/// The parts of a `tokenizer.json` that count here.
struct TokenizerFile: Decodable {
    struct Model: Decodable {
        let type: String?
        let vocab: [String: Int32]
        let unknown: String?
        let prefix: String?
        let longestWord: Int?

        enum CodingKeys: String, CodingKey {
            case type, vocab
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
            case type, lowercase
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
            case id, content, normalized
            case singleWord = "single_word"
        }
    }

    let model: Model
    let normalizer: Normalizer
    let preTokenizer: PreTokenizer
    let addedTokens: [AddedToken]?

    enum CodingKeys: String, CodingKey {
        case model, normalizer
        case preTokenizer = "pre_tokenizer"
        case addedTokens = "added_tokens"
    }

    /// The number of a piece or an added token.
    func id(of name: String) throws -> Int32 {
        guard let id = model.vocab[name] ?? addedTokens?.first(where: { $0.content == name })?.id else {
            throw WOTDError("tokenizer.json has no \(name)")
        }
        return id
    }

    /// Throws where it asks for what this package doesn't do.
    func check() throws {
        let parts = [
            ("model", model.type ?? "WordPiece", "WordPiece"),
            ("normalizer", normalizer.type, "BertNormalizer"),
            ("pre_tokenizer", preTokenizer.type, "BertPreTokenizer"),
        ]
        for (part, found, expected) in parts where found != expected {
            throw WOTDError("tokenizer.json has the \(part) \(found), expected \(expected)")
        }
        for token in addedTokens ?? [] where token.singleWord ?? false {
            throw WOTDError("tokenizer.json has \(token.content) with single_word, which is not supported")
        }
        // Pieces that are canonically equivalent are one key to a Swift dictionary: their ids would be missing.
        let largest = Int(model.vocab.values.max() ?? -1)
        if model.vocab.count <= largest {
            throw WOTDError("tokenizer.json has \(model.vocab.count) distinct pieces but ids up to \(largest)")
        }
    }
}
