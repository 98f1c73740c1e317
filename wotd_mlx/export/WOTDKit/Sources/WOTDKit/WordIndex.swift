import Foundation

/// A word of the bundle and its cosine to what was asked for.
public struct Neighbour: Hashable, Sendable {
    public let word: String
    public let cosine: Float

    public init(word: String, cosine: Float) {
        self.word = word
        self.cosine = cosine
    }
}

/// The bundle's words with their IDs and vectors: nearest words by cosine, and the words under an ID.
public final class WordIndex: Sendable {
    public let words: [String]
    public let ids: [SemanticID]
    public let dimensions: Int
    private let vectors: [Float]

    /// `vectors` holds a row of `dimensions` numbers for each word, of unit length.
    public init(words: [String], ids: [SemanticID], vectors: [Float], dimensions: Int) throws {
        if dimensions < 1 || vectors.count != words.count * dimensions {
            throw WOTDError("\(vectors.count) numbers for \(words.count) words of \(dimensions) dimensions")
        }
        if ids.count != words.count {
            throw WOTDError("\(ids.count) IDs for \(words.count) words")
        }
        self.words = words
        self.ids = ids
        self.dimensions = dimensions
        self.vectors = vectors
    }

    /// Reads the words that a manifest lists, with the vectors beside it.
    public convenience init(bundle: URL, words: Manifest.Words) throws {
        let data: Data
        do {
            data = try Data(contentsOf: bundle.appendingPathComponent(words.file))
        } catch {
            throw WOTDError("\(words.file) can't be read: \(error.localizedDescription)")
        }
        let vectors = WordIndex.floats(data)
        try self.init(words: words.texts, ids: words.ids, vectors: vectors, dimensions: words.dimensions)
    }

    /// The `count` words nearest to a vector of any length, the nearest first; none for a vector of zeros.
    public func nearest(to vector: [Float], count: Int) -> [Neighbour] {
        let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        guard vector.count == dimensions, count > 0, length.isFinite, length > 0 else {
            return []
        }
        let scores = products(vector)
        let order = words.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }
        return order.prefix(count).map { Neighbour(word: words[$0], cosine: scores[$0] / length) }
    }

    /// The words that have this ID, in the bundle's order.
    public func words(with id: SemanticID) -> [String] {
        zip(words, ids).filter { $1 == id }.map(\.0)
    }

    /// Little-endian float32 to numbers; a last incomplete number is left out.
    static func floats(_ data: Data) -> [Float] {
        data.withUnsafeBytes { bytes in
            (0..<data.count / 4).map {
                let bits = bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)
                return Float(bitPattern: UInt32(littleEndian: bits))
            }
        }
    }

    private func products(_ vector: [Float]) -> [Float] {
        vectors.withUnsafeBufferPointer { table in
            words.indices.map { row in
                var sum: Float = 0
                for column in 0..<dimensions {
                    sum += table[row * dimensions + column] * vector[column]
                }
                return sum
            }
        }
    }
}
