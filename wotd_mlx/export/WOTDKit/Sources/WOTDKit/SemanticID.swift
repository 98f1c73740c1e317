/// A word's semantic ID: a code for each coordinate, `[2,1,3,0]`. In JSON it is a plain array of numbers.
public struct SemanticID: Hashable, Codable, Sendable, CustomStringConvertible {
    public let numbers: [Int]

    public init(_ numbers: [Int]) {
        self.numbers = numbers
    }

    public init(from decoder: any Decoder) throws {
        numbers = try decoder.singleValueContainer().decode([Int].self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(numbers)
    }

    public var description: String {
        "[" + numbers.map(String.init).joined(separator: ",") + "]"
    }
}

/// What the model says of a text.
public struct Encoding: Hashable, Sendable {
    public let id: SemanticID
    /// The text's embedding.
    public let vector: [Float]
    /// The finer codes, where the model has such an output.
    public let detail: [Int]?
    /// Whether the text was too long for the model, and its end doesn't count.
    public let isTruncated: Bool
    /// From the text to the ID, tokenising included, on this device.
    public let milliseconds: Double

    public init(id: SemanticID, vector: [Float], detail: [Int]?, isTruncated: Bool, milliseconds: Double) {
        self.id = id
        self.vector = vector
        self.detail = detail
        self.isTruncated = isTruncated
        self.milliseconds = milliseconds
    }
}

/// A coordinate's name and what an ID's code on it is called.
public struct CodeLabel: Hashable, Sendable {
    public let name: String
    public let value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
