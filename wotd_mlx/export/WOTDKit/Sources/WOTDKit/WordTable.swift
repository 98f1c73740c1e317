import Foundation

/// A bundle's words: the ID that evidence gives each, and the words nearest to a vector. It is mapped, so that opening
/// it reads little into memory.
public struct WordTable: Sendable {
    let file: TableFile

    /// Opens a `words.wotd`; throws `WOTDError` where it is cut, damaged or of another version.
    public init(url: URL) throws {
        file = try TableFile(url: url)
    }

    /// Opens the file that a manifest names; throws `WOTDError` too where the two don't fit.
    public init(bundle: URL, words: Manifest.Words) throws {
        try self.init(url: bundle.appendingPathComponent(words.file))
        let found = (count, file.vectors, file.dimensions)
        let expected = (words.count, words.vectors, words.dimensions)
        if found != expected {
            throw WOTDError("\(words.file) holds \(found) words, vectors and dimensions, expected \(expected)")
        }
    }

    /// How many words it knows.
    public var count: Int {
        file.words.count
    }

    /// The ID of a word, however it is typed; nil for one that the bundle doesn't know.
    public func id(of text: String) -> SemanticID? {
        let bytes = NormalForm(text).lazy.flatMap(\.utf8)
        return file.words.row(of: bytes).map(id(at:))
    }

    /// The words that have this ID, in alphabetical order: most often one or none.
    public func words(with id: SemanticID) -> [String] {
        guard id.numbers.count == file.coordinates else { return [] }
        return (0..<count).filter { hasID($0, id.numbers) }.map { file.words[$0] }
    }

    /// Of the words that have vectors, the `count` nearest to a vector of any length, the nearest first; none for a
    /// vector of zeros.
    public func nearest(to vector: [Float], count: Int) -> [Neighbour] {
        guard vector.count == file.dimensions, count > 0, let query = Query(vector) else { return [] }
        var best = Best(count: min(count, file.vectors))
        file.scanVectors { rows, bytes in
            for row in rows {
                let product = query.product(bytes, from: (row - rows.lowerBound) * file.dimensions)
                best.add(row, score: product * file.scale(of: row))
            }
        }
        return best.rows.map { Neighbour(word: file.words[file.owner(of: $0.row)], cosine: $0.score) }
    }

    private func id(at row: Int) -> SemanticID {
        SemanticID((0..<file.coordinates).map { file.number(of: row, at: $0) })
    }

    private func hasID(_ row: Int, _ numbers: [Int]) -> Bool {
        // The last number differs most from word to word.
        for coordinate in numbers.indices.reversed() where file.number(of: row, at: coordinate) != numbers[coordinate] {
            return false
        }
        return true
    }
}

/// A word of the bundle and its cosine to what was asked for.
public struct Neighbour: Hashable, Sendable {
    public let word: String
    public let cosine: Float

    public init(word: String, cosine: Float) {
        self.word = word
        self.cosine = cosine
    }
}
