/// The parts of a mapped file, one after the other, each within the file: `wotd_mlx/export/mapped.py` of wotd-mlx puts
/// them together.
struct MappedParts {
    private static let alignment = 16
    private static let sumSize = 4

    let file: MappedFile
    /// The head's whole numbers after the magic.
    let counts: [Int]
    private let size: Int
    private var offset: Int

    /// Checks magic, version (the first count) and checksum; throws `WOTDError` where one is another.
    init(_ file: MappedFile, magic: String, what: String, version: Int, counts: Int, headSize: Int) throws {
        guard file.bytes.count >= headSize + MappedParts.sumSize, file.bytes.starts(with: magic.utf8) else {
            throw WOTDError("it is no \(what)")
        }
        self.file = file
        size = file.bytes.count - MappedParts.sumSize
        offset = headSize
        self.counts = (0..<counts).map { file.uint32(at: magic.utf8.count + 4 * $0) }
        guard self.counts[0] == version else {
            throw WOTDError("it has version \(self.counts[0]), expected \(version)")
        }
        var sum = Adler32()
        file.scan(from: 0, rows: size, of: 1) { sum.add($1) }
        guard sum.value == UInt32(file.uint32(at: size)) else {
            throw WOTDError("its checksum is another, so it is cut or damaged")
        }
    }

    /// The start of the next part, of `count` numbers of `width` bytes.
    mutating func take(_ count: Int, of width: Int) throws -> Int {
        let start = aligned(offset)
        let (length, isTooLong) = count.multipliedReportingOverflow(by: width)
        guard !isTooLong, length >= 0, start <= size, length <= size - start else {
            throw WOTDError("it has \(size + MappedParts.sumSize) bytes, expected more")
        }
        offset = start + length
        return start
    }

    mutating func texts(count: Int, size: Int) throws -> SortedTexts {
        let ends = try take(count, of: 4)
        return try SortedTexts(file: file, count: count, ends: ends, texts: take(size, of: 1), size: size)
    }

    func finish() throws {
        guard aligned(offset) == size else {
            let expected = aligned(offset) + MappedParts.sumSize
            throw WOTDError("it has \(size + MappedParts.sumSize) bytes, expected \(expected)")
        }
    }

    private func aligned(_ offset: Int) -> Int {
        (offset + MappedParts.alignment - 1) / MappedParts.alignment * MappedParts.alignment
    }
}
