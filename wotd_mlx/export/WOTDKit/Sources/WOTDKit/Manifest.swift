import Foundation

/// `manifest.json` of a bundle. Keys that are not named here are ignored.
public struct Manifest: Codable, Sendable {
    /// The format that this package reads.
    public static let supportedFormat = 2

    public struct Port: Codable, Sendable {
        public let name: String
        public let shape: [Int]
        public let dtype: String
    }

    /// How texts are cut into the pieces of the word table.
    public struct Tokenizer: Codable, Sendable {
        /// A token that is taken whole wherever it stands in a text.
        public struct Added: Codable, Sendable {
            public let id: Int32
            public let text: String
            /// Whether it is looked for in the normalised text.
            public let normalized: Bool
        }

        public let maxLength: Int
        public let unknownID: Int32
        public let startID: Int32
        public let endID: Int32
        public let padID: Int32
        public let prefix: String
        public let longestWord: Int
        public let cleanText: Bool
        public let handleChineseChars: Bool
        public let stripAccents: Bool
        public let lowercase: Bool
        public let added: [Added]

        enum CodingKeys: String, CodingKey {
            case prefix, lowercase, added
            case maxLength = "max_length"
            case unknownID = "unknown_id"
            case startID = "start_id"
            case endID = "end_id"
            case padID = "pad_id"
            case longestWord = "longest_word"
            case cleanText = "clean_text"
            case handleChineseChars = "handle_chinese_chars"
            case stripAccents = "strip_accents"
        }
    }

    public struct Code: Codable, Sendable {
        public let code: Int
        /// Made from the words under the code; every code has one.
        public let name: String
        /// Given by a person or not at all.
        public let label: String?
        public let words: [String]?
    }

    public struct Coordinate: Codable, Sendable {
        public let name: String
        public let codes: [Code]
    }

    public struct Codes: Codable, Sendable {
        public let kind: String
        public let levels: [Int]
        public let coordinates: [Coordinate]?
    }

    /// What the word table holds.
    public struct Words: Codable, Sendable {
        public let file: String
        public let count: Int
        /// Words that others are compared with.
        public let vectors: Int
        public let dimensions: Int
    }

    /// What is searched for the code nearest to the model's vector.
    public struct Entries: Codable, Sendable {
        public let file: String
        public let entries: Int
    }

    /// One of the bundle's packages.
    public struct Package: Codable, Sendable {
        /// `coreml` or `coreai`.
        public let format: String
        public let file: String
        public let inputs: [Port]?
        public let outputs: [Port]?

        enum CodingKeys: String, CodingKey {
            case format, inputs, outputs
            case file = "package"
        }

        var isCoreAI: Bool { format == "coreai" }

        /// The framework that computes it.
        var name: String { isCoreAI ? "Core AI" : "Core ML" }
    }

    /// A text's tokens, and what every package made of them where it was exported.
    public struct Check: Codable, Sendable {
        public let text: String
        public let tokens: [Int32]
        public let mask: [Int32]
        public let id: [Int]
        public let vector: [Float]
    }

    public struct Embedding: Codable, Sendable {
        public let id: String
        public let dimensions: Int
        public let licence: String?
    }

    /// The one key that manifests of every format have.
    private struct Format: Decodable {
        let format: Int
    }

    public let format: Int
    public let kind: String
    public let name: String
    public let packageFile: String
    public let precision: String?
    public let minimumDeploymentTarget: String?
    public let inputs: [Port]
    public let outputs: [Port]
    public let tokenizer: Tokenizer?
    public let codes: Codes?
    public let words: Words?
    /// Missing where the model itself gives IDs.
    public let dictionary: Entries?
    public let embedding: Embedding?
    /// All packages; nil in bundles from before there was a choice.
    public let packages: [Package]?
    /// What a package is tried on before it is used.
    public let checks: [Check]?
    public let licence: String?
    public let sha256: [String: String]?

    enum CodingKeys: String, CodingKey {
        case format, kind, name, precision, inputs, outputs, tokenizer, codes, words, dictionary, embedding, licence
        case sha256, packages, checks
        case packageFile = "package"
        case minimumDeploymentTarget = "minimum_deployment_target"
    }

    /// Reads a manifest's JSON; throws `WOTDError` where it is of another format or lacks something.
    public static func read(data: Data) throws -> Manifest {
        do {
            let found = try JSONDecoder().decode(Format.self, from: data).format
            if found != supportedFormat {
                let expected = "expected \(supportedFormat); export the bundle again, with the wotd-mlx of this WOTDKit"
                throw WOTDError("manifest.json has format \(found), \(expected)")
            }
            return try JSONDecoder().decode(Manifest.self, from: data)
        } catch let error as DecodingError {
            throw WOTDError("manifest.json can't be read: \(error)")
        }
    }

    /// Reads `manifest.json` in a bundle folder.
    public static func read(bundle: URL) throws -> Manifest {
        let file = bundle.appendingPathComponent("manifest.json")
        let data: Data
        do {
            data = try Data(contentsOf: file)
        } catch {
            throw WOTDError("no manifest.json in \(bundle.path): \(error.localizedDescription)")
        }
        return try read(data: data)
    }

    /// What each of an ID's codes is called: its label, else its name, else its number.
    public func labels(_ id: SemanticID) -> [CodeLabel] {
        let coordinates = codes?.coordinates ?? []
        return id.numbers.enumerated().map { position, number in
            guard position < coordinates.count else {
                return CodeLabel(name: "coordinate \(position + 1)", value: String(number))
            }
            let code = coordinates[position].codes.first { $0.code == number }
            return CodeLabel(name: coordinates[position].name, value: code?.label ?? code?.name ?? String(number))
        }
    }

    /// The packages that this system can compute, the one to try first at the front: Core AI's where there is Core AI.
    ///
    /// Throws `WOTDError` where there is none.
    func packages(withCoreAI hasCoreAI: Bool) throws -> [Package] {
        let all = packages ?? [Package(format: "coreml", file: packageFile, inputs: inputs, outputs: outputs)]
        let known = all.filter { $0.format == "coreml" || $0.isCoreAI && hasCoreAI }
        if known.isEmpty {
            let files = all.map(\.file).joined(separator: ", ")
            throw WOTDError("the bundle has \(files) alone, which needs Core AI of iOS or macOS 27")
        }
        return known.filter(\.isCoreAI) + known.filter { !$0.isCoreAI }
    }

    /// A short name for the contents of the package that the manifest names first, from its files' checksums (FNV-1a);
    /// nil where none are listed.
    func packageKey() -> String? {
        let files = (sha256 ?? [:]).filter { $0.key == packageFile || $0.key.hasPrefix(packageFile + "/") }
        if files.isEmpty {
            return nil
        }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for (name, sum) in files.sorted(by: { $0.key < $1.key }) {
            for byte in "\(name)=\(sum)\n".utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
            }
        }
        return String(hash, radix: 16)
    }
}
