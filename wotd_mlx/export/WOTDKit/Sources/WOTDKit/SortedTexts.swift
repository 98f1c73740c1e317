/// Texts of a mapped file, ascending by their bytes in UTF-8, without any of them in memory.
struct SortedTexts: Sendable {
    /// The texts that start with some bytes.
    struct Matches: Sendable {
        fileprivate(set) var rows: Range<Int>
        /// How many bytes they were asked to start with.
        fileprivate(set) var length: Int
    }

    let count: Int
    private let file: MappedFile
    /// Where the places begin at which each text ends, and where the texts do.
    private let ends: Int
    private let texts: Int

    /// Throws where the places don't ascend to `size`, the bytes of all texts.
    init(file: MappedFile, count: Int, ends: Int, texts: Int, size: Int) throws {
        self.file = file
        self.count = count
        self.ends = ends
        self.texts = texts
        var last = 0
        for row in 0..<count {
            let end = file.uint32(at: ends + 4 * row)
            guard end >= last else { throw WOTDError("text \(row) ends before it starts") }
            last = end
        }
        guard last == size else { throw WOTDError("its texts end at \(last), expected \(size)") }
    }

    /// The text of a row.
    subscript(row: Int) -> String {
        let bytes = bytes(of: row)
        return String(decoding: file.bytes[texts + bytes.lowerBound..<texts + bytes.upperBound], as: UTF8.self)
    }

    var all: Matches {
        Matches(rows: 0..<count, length: 0)
    }

    /// The row that has exactly these bytes, which are read as far as any text has them.
    func row(of key: some Sequence<UInt8>) -> Int? {
        exact(narrowed(all, by: key))
    }

    /// Of the texts that match, those that go on with these bytes.
    func narrowed(_ matches: Matches, by key: some Sequence<UInt8>) -> Matches {
        var matches = matches
        for byte in key {
            if matches.rows.isEmpty { break }
            matches = narrowed(matches, by: byte)
        }
        return matches
    }

    /// Of the texts that match and go on as `key` does, the one that goes on the longest way, and how far; nil where
    /// none goes on at all.
    func longest(_ matches: Matches, startOf key: ArraySlice<UInt8>) -> (row: Int, length: Int)? {
        var matches = matches
        var found: (row: Int, length: Int)?
        for (position, byte) in key.enumerated() {
            matches = narrowed(matches, by: byte)
            if matches.rows.isEmpty { break }
            if let row = exact(matches) { found = (row, position + 1) }
        }
        return found
    }

    /// The shortest comes first: it is the text that was asked for, or none is.
    private func exact(_ matches: Matches) -> Int? {
        guard let row = matches.rows.first, bytes(of: row).count == matches.length else { return nil }
        return row
    }

    private func narrowed(_ matches: Matches, by byte: UInt8) -> Matches {
        let wanted = Int(byte)
        let from = first(of: matches.rows) { self.byte(of: $0, at: matches.length) >= wanted }
        let to = first(of: from..<matches.rows.upperBound) { self.byte(of: $0, at: matches.length) > wanted }
        return Matches(rows: from..<to, length: matches.length + 1)
    }

    private func first(of rows: Range<Int>, where holds: (Int) -> Bool) -> Int {
        var low = rows.lowerBound
        var high = rows.upperBound
        while low < high {
            let middle = low + (high - low) / 2
            if holds(middle) {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return low
    }

    /// A byte of a text, less than any byte where it has ended.
    private func byte(of row: Int, at position: Int) -> Int {
        let bytes = bytes(of: row)
        return position < bytes.count ? Int(file.bytes[texts + bytes.lowerBound + position]) : -1
    }

    private func bytes(of row: Int) -> Range<Int> {
        let start = row == 0 ? 0 : file.uint32(at: ends + 4 * (row - 1))
        return start..<file.uint32(at: ends + 4 * row)
    }
}
