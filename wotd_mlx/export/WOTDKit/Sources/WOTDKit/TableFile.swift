import Foundation

/// The parts of a bundle's `words.wotd`, found and checked: `wotd_mlx/export/table.py` of wotd-mlx says how it is laid
/// out, and writes it.
struct TableFile: Sendable {
    static let magic = "WOTDTABL"
    static let supportedVersion = 1
    private static let headSize = 56

    let file: MappedFile
    let words: SortedTexts
    let pieces: SortedTexts
    let coordinates: Int
    let vectors: Int
    let dimensions: Int
    private let numberSize: Int
    private let ids: Int
    private let owners: Int
    private let scales: Int
    private let vectorStart: Int
    private let pieceNumbers: Int

    /// Maps a file; throws `WOTDError` where it is cut, damaged or of another version.
    init(url: URL) throws {
        let file = try MappedFile(url)
        do {
            try self.init(file)
        } catch let error as WOTDError {
            throw WOTDError("\(url.lastPathComponent) can't be read: \(error.message); export the bundle again")
        }
    }

    private init(_ file: MappedFile) throws {
        var parts = try MappedParts(
            file, magic: TableFile.magic, what: "word table", version: TableFile.supportedVersion, counts: 8,
            headSize: TableFile.headSize)
        let counts = parts.counts
        func wide(_ offset: Int) -> Int { file.uint32(at: offset) | file.uint32(at: offset + 4) << 32 }
        (coordinates, vectors, dimensions, numberSize) = (counts[2], counts[4], counts[5], counts[3])
        guard 1...255 ~= coordinates, 1...65535 ~= dimensions, numberSize == 2 || numberSize == 4 else {
            let found = "\(coordinates) numbers of \(numberSize) bytes, vectors of \(dimensions)"
            throw WOTDError("it has IDs of \(found), expected 1 to 255 of 2 or 4, and 1 to 65535")
        }
        self.file = file
        words = try parts.texts(count: counts[1], size: wide(40))
        ids = try parts.take(counts[1] * coordinates, of: numberSize)
        owners = try parts.take(vectors, of: 4)
        scales = try parts.take(vectors, of: 4)
        vectorStart = try parts.take(vectors * dimensions, of: 1)
        pieces = try parts.texts(count: counts[6], size: wide(48))
        pieceNumbers = try parts.take(counts[6], of: 4)
        try parts.finish()
        for row in 0..<vectors {
            // Whole numbers that aren't all 0 have a length of 1 or more.
            guard owner(of: row) < words.count, scale(of: row) > 0, scale(of: row) <= 1 else {
                throw WOTDError("vector \(row) is no word's, or of no length")
            }
        }
    }

    /// The number of a word's ID at a coordinate.
    func number(of word: Int, at coordinate: Int) -> Int {
        let offset = ids + (word * coordinates + coordinate) * numberSize
        return numberSize == 2 ? file.uint16(at: offset) : file.uint32(at: offset)
    }

    /// The token number of a piece.
    func pieceNumber(of piece: Int) -> Int32 {
        Int32(truncatingIfNeeded: file.uint32(at: pieceNumbers + 4 * piece))
    }

    /// The word that a vector is of.
    func owner(of vector: Int) -> Int {
        file.uint32(at: owners + 4 * vector)
    }

    /// What a vector's bytes are multiplied by, so that its length is 1.
    func scale(of vector: Int) -> Float {
        file.float(at: scales + 4 * vector)
    }

    /// All vectors, some at a time: which ones, and `dimensions` signed bytes for each.
    func scanVectors(_ body: (Range<Int>, UnsafeRawBufferPointer) -> Void) {
        file.scan(from: vectorStart, rows: vectors, of: dimensions, body)
    }
}
