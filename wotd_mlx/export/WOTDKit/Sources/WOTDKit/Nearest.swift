/// A vector as it is compared with bytes: in whole numbers of 16 bits, which a processor multiplies many of at a time.
struct Query {
    private static let lanes = 8
    private let numbers: [Int16]
    private let length: Float

    /// nil for a vector without a direction: of zeros, or of something else than numbers.
    init?(_ vector: [Float]) {
        let largest = vector.reduce(0) { max($0, abs($1)) }
        guard largest > 0, vector.allSatisfy(\.isFinite) else { return nil }
        // The sum of as many products with bytes still fits 32 bits.
        let limit = min(32767, Int(Int32.max) / (128 * vector.count))
        numbers = vector.map { Int16(($0 / largest * Float(limit)).rounded()) }
        let squares = numbers.reduce(0.0) { $0 + Double($1) * Double($1) }
        length = Float(squares.squareRoot())
    }

    /// The product of the vector, at length 1, with a row of signed bytes.
    func product(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Float {
        numbers.withUnsafeBytes { numbers in
            var sums = SIMD4<Int32>()
            let count = self.numbers.count
            let whole = count / Query.lanes * Query.lanes
            for column in stride(from: 0, to: whole, by: Query.lanes) {
                let ours = numbers.loadUnaligned(fromByteOffset: 2 &* column, as: SIMD8<Int16>.self)
                let row = bytes.loadUnaligned(fromByteOffset: start &+ column, as: SIMD8<Int8>.self)
                let products = SIMD8<Int32>(truncatingIfNeeded: ours) &* SIMD8<Int32>(truncatingIfNeeded: row)
                // Neighbours are added first, since processors multiply and add pairs in one step.
                sums &+= products.evenHalf &+ products.oddHalf
            }
            var sum = sums.wrappedSum()
            for column in whole..<count {
                let byte = bytes.load(fromByteOffset: start + column, as: Int8.self)
                sum &+= Int32(self.numbers[column]) &* Int32(byte)
            }
            return Float(sum) / length
        }
    }
}

/// The rows with the highest scores, the highest first and equal ones as they came, without sorting all.
struct Best {
    private let count: Int
    private var found: [(row: Int, score: Float)] = []
    private var least = -Float.infinity

    init(count: Int) {
        self.count = count
        found.reserveCapacity(2 * count)
    }

    var rows: [(row: Int, score: Float)] {
        Array(ordered.prefix(count))
    }

    mutating func add(_ row: Int, score: Float) {
        guard score > least else { return }
        found.append((row, score))
        if found.count == 2 * count {
            found = Array(ordered.prefix(count))
            found.reserveCapacity(2 * count)
            least = found.last?.score ?? least
        }
    }

    private var ordered: [(row: Int, score: Float)] {
        found.sorted { (-$0.score, $0.row) < (-$1.score, $1.row) }
    }
}
