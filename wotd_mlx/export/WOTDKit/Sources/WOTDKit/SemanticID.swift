import Foundation

/// A word's semantic ID: a code for each coordinate, `[2,1,3,0]`. In JSON it is a plain array of numbers.
public struct SemanticID: Hashable, Codable, Sendable, CustomStringConvertible {
    public let numbers: [Int]

    public init(_ numbers: [Int]) {
        self.numbers = numbers
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        self.numbers = try container.decode([Int].self)
    }

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(numbers)
    }

    public var description: String {
        let parts: [String] = numbers.map { String($0) }
        return "[" + parts.joined(separator: ",") + "]"
    }
}

/// What the encoder says of a text.
public struct Encoding: Hashable, Sendable {
    public let id: SemanticID
    /// The text's embedding, as the model gave it.
    public let vector: [Float]
    /// The finer codes, where the model has such an output.
    public let detail: [Int]?
    /// From the text to the ID, tokenising included, on this device.
    public let milliseconds: Double

    public init(id: SemanticID, vector: [Float], detail: [Int]?, milliseconds: Double) {
        self.id = id
        self.vector = vector
        self.detail = detail
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
