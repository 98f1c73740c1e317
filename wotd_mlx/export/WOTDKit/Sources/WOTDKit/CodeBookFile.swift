import Foundation

/// The parts of a bundle's `dictionary.wotd`, found and checked: `wotd_mlx/export/dictionary.py` of wotd-mlx says how it
/// is laid out, and writes it.
struct CodeBookFile: Sendable {
    static let magic = "WOTDDICT"
    static let supportedVersion = 1
    private static let headSize = 76

    /// Entries that lie together: their codes differ in the last number alone, and they read alike.
    struct Cell: Sendable {
        let entries: Range<Int>
        let numbers: [Int]
        let values: [Int]
        /// Where the neighbours of its entries begin; the first `longer` entries have one more than the others, but for
        /// the most that an entry may have.
        let neighbours: Int
        let fewer: Int
        let more: Int
        let longer: Int
    }

    /// What the costs of codes are made of.
    struct Factors: Sendable {
        let alone: Float
        let own: Float
        let other: Float
        let agreement: Float
        let contradiction: Float
        /// The probability above which a value is told.
        let likely: Float
    }

    let file: MappedFile
    let count: Int
    let levels: [Int]
    /// How many values each attribute has.
    let sizes: [Int]
    let dimensions: Int
    let eight: Int
    let four: Int
    let candidates: Int
    let factors: Factors
    let cells: [Cell]
    /// The columns' latents: `dimensions` weights each, what is added, and the steps between their values.
    let map: [Float]
    let offsets: [Float]
    let steps: [Float]
    let wholes: Int
    let pairs: Int
    private let squares: Int
    private let neighbours: Int
    private let neighbourSize: Int

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
            file, magic: CodeBookFile.magic, what: "dictionary", version: CodeBookFile.supportedVersion, counts: 11,
            headSize: CodeBookFile.headSize)
        let counts = parts.counts
        let (coordinates, attributes, cellCount, most) = (counts[2], counts[3], counts[7], counts[9])
        (count, dimensions, eight, four, candidates) = (counts[1], counts[4], counts[5], counts[6], counts[10])
        guard 1...255 ~= coordinates, 1...255 ~= attributes, 1...65535 ~= dimensions, eight <= 65535, four <= 65535,
            four % 2 == 0, count > 0, 1...count ~= cellCount, most <= count, 1...255 ~= candidates
        else {
            throw WOTDError("its counts are \(counts), which no dictionary has")
        }
        func numbers(_ count: Int) throws -> [Int] {
            let start = try parts.take(count, of: 4)
            return (0..<count).map { file.uint32(at: start + 4 * $0) }
        }
        func floats(_ count: Int) throws -> [Float] {
            let start = try parts.take(count, of: 4)
            return (0..<count).map { file.float(at: start + 4 * $0) }
        }
        self.file = file
        levels = try numbers(coordinates)
        sizes = try numbers(attributes)
        map = try floats((eight + four) * dimensions)
        offsets = try floats(eight + four)
        steps = try floats(eight + four)
        let ends = try numbers(cellCount)
        let codes = try numbers(cellCount * (coordinates - 1))
        let values = try numbers(cellCount * attributes)
        wholes = try parts.take(count, of: eight)
        pairs = try parts.take(count, of: four / 2)
        squares = try parts.take(count, of: 4)
        neighbourSize = count <= 1 << 16 ? 2 : 4
        neighbours = try parts.take(counts[8], of: neighbourSize)
        try parts.finish()
        let head = (0..<6).map { file.float(at: 52 + 4 * $0) }
        factors = Factors(
            alone: head[0], own: head[1], other: head[2], agreement: head[3], contradiction: head[4], likely: head[5])
        guard (head + map + offsets + steps).allSatisfy(\.isFinite),
            levels.allSatisfy({ 1..<1 << 31 ~= $0 }), sizes.allSatisfy({ 1...65535 ~= $0 })
        else {
            throw WOTDError("its levels, sizes or weights are out of range")
        }
        var (start, first, cells) = (0, 0, [Cell]())
        for (cell, end) in ends.enumerated() {
            let own = codes[cell * (coordinates - 1)..<(cell + 1) * (coordinates - 1)]
            let read = values[cell * attributes..<(cell + 1) * attributes]
            guard start < end, end <= count, zip(own, levels).allSatisfy({ $0 < $1 }),
                zip(read, sizes).allSatisfy({ $0 <= $1 })
            else {
                throw WOTDError("cell \(cell) is empty, or its numbers are out of range")
            }
            let (codesEach, longer) = levels[coordinates - 1].quotientAndRemainder(dividingBy: end - start)
            let fewer = min(max(codesEach - 1, 0), most)
            let more = min(codesEach, most)
            cells.append(
                Cell(
                    entries: start..<end, numbers: Array(own), values: Array(read), neighbours: first, fewer: fewer,
                    more: more, longer: longer))
            first += (end - start) * fewer + longer * (more - fewer)
            start = end
        }
        guard start == count, first == counts[8] else {
            throw WOTDError("its cells have \(start) entries with \(first) neighbours, not \(count) with \(counts[8])")
        }
        self.cells = cells
        for place in 0..<first where neighbour(place) >= count {
            throw WOTDError("neighbour \(place) is no entry")
        }
        for entry in 0..<count where !square(of: entry).isFinite {
            throw WOTDError("the length of entry \(entry) is no number")
        }
    }

    func neighbour(_ place: Int) -> Int {
        let offset = neighbours + place * neighbourSize
        return neighbourSize == 2 ? file.uint16(at: offset) : file.uint32(at: offset)
    }

    /// Where the neighbours of a cell's entry are.
    func neighbourPlaces(of entry: Int, in cell: Cell) -> Range<Int> {
        let number = entry - cell.entries.lowerBound
        let start = cell.neighbours + number * cell.fewer + min(number, cell.longer) * (cell.more - cell.fewer)
        return start..<start + (number < cell.longer ? cell.more : cell.fewer)
    }

    /// An entry's squared length.
    func square(of entry: Int) -> Float {
        file.float(at: squares + 4 * entry)
    }
}
