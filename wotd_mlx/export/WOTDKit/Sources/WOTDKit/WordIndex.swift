import Foundation

/// A word of the box and its cosine to what was asked for.
public struct Neighbour: Hashable, Sendable {
    public let word: String
    public let cosine: Float

    public init(word: String, cosine: Float) {
        self.word = word
        self.cosine = cosine
    }
}

/// The box's words with their IDs and vectors: nearest words by cosine, and the words under an ID.
public final class WordIndex: Sendable {
    public let words: [String]
    public let ids: [SemanticID]
    public let dimensions: Int
    private let vectors: [Float]
    private let rows: [String: Int]

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
        var rows: [String: Int] = [:]
        for (row, word) in words.enumerated() {
            rows[word] = row
        }
        self.rows = rows
    }

    /// Reads the words that a manifest lists, with the vectors beside it.
    public convenience init(box: URL, words: Manifest.Words) throws {
        let data: Data
        do {
            data = try Data(contentsOf: box.appendingPathComponent(words.file))
        } catch {
            throw WOTDError("\(words.file) can't be read: \(error.localizedDescription)")
        }
        let vectors: [Float] = WordIndex.floats(data)
        try self.init(words: words.texts, ids: words.ids, vectors: vectors, dimensions: words.dimensions)
    }

    /// The `count` words nearest to a vector of any length, the nearest first; none for a vector of zeros.
    public func nearest(to vector: [Float], count: Int) -> [Neighbour] {
        if vector.count != dimensions || count < 1 {
            return []
        }
        var square: Float = 0
        for number in vector {
            square += number * number
        }
        if !square.isFinite || square <= 0 {
            return []
        }
        let scale: Float = 1 / square.squareRoot()
        let scores: [Float] = products(vector)
        let order: [Int] = Array(0..<words.count).sorted { (a: Int, b: Int) -> Bool in
            if scores[a] == scores[b] {
                return a < b
            }
            return scores[a] > scores[b]
        }
        return order.prefix(count).map { (row: Int) -> Neighbour in
            return Neighbour(word: words[row], cosine: scores[row] * scale)
        }
    }

    /// The ID that the box gives to this word; nil for a word that it doesn't list.
    public func id(of word: String) -> SemanticID? {
        guard let row = rows[word] else {
            return nil
        }
        return ids[row]
    }

    /// The words that have this ID, in the box's order.
    public func words(with id: SemanticID) -> [String] {
        var found: [String] = []
        for (row, other) in ids.enumerated() where other == id {
            found.append(words[row])
        }
        return found
    }

    /// Little-endian float32 to numbers; a last incomplete number is left out.
    static func floats(_ data: Data) -> [Float] {
        let count: Int = data.count / 4
        var numbers: [Float] = []
        numbers.reserveCapacity(count)
        data.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) -> Void in
            for i in 0..<count {
                let bits: UInt32 = bytes.loadUnaligned(fromByteOffset: 4 * i, as: UInt32.self)
                numbers.append(Float(bitPattern: UInt32(littleEndian: bits)))
            }
        }
        return numbers
    }

    private func products(_ vector: [Float]) -> [Float] {
        let width: Int = dimensions
        let rows: Int = words.count
        var out: [Float] = []
        out.reserveCapacity(rows)
        vectors.withUnsafeBufferPointer { (table: UnsafeBufferPointer<Float>) -> Void in
            for row in 0..<rows {
                var sum: Float = 0
                for column in 0..<width {
                    sum += table[row * width + column] * vector[column]
                }
                out.append(sum)
            }
        }
        return out
    }
}
