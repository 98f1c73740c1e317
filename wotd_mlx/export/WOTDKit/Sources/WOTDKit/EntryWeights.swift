/// A vector's latents as they are multiplied with entries: each times its column's step, in the order of the bytes.
///
/// A value of an entry is (k + ½) steps. Bytes become floats by their place in the mantissa of 2²³, which processors do
/// for many at a time.
struct EntryWeights {
    private static let lanes = 8
    private static let large = SIMD8<UInt32>(repeating: 0x4B00_0000)
    private static let float = SIMD8<Float>(repeating: 8_388_608)

    private let book: CodeBookFile
    private let weights: [Float]
    /// What the halves, and what bytes have more than numbers, amount to.
    private let constant: Float

    init(latents: [Float], book: CodeBookFile) {
        self.book = book
        weights = zip(latents, book.steps).map { $0 * $1 }
        let whole = weights[..<book.eight].reduce(0, +)
        let half = weights[book.eight...].reduce(0, +)
        constant = -127.5 * whole - 7.5 * half
    }

    /// The product of the latents with an entry.
    func product(_ entry: Int) -> Float {
        let bytes = book.file.bytes
        let half = book.four / 2
        let wholes = book.wholes &+ entry &* book.eight
        let pairs = book.pairs &+ entry &* half
        return weights.withUnsafeBytes { weights in
            func numbers(_ bytes: SIMD8<UInt8>) -> SIMD8<Float> {
                let bits = SIMD8<UInt32>(truncatingIfNeeded: bytes) | EntryWeights.large
                return unsafeBitCast(bits, to: SIMD8<Float>.self) - EntryWeights.float
            }
            func weight(_ column: Int) -> SIMD8<Float> {
                weights.loadUnaligned(fromByteOffset: 4 &* column, as: SIMD8<Float>.self)
            }
            func single(_ column: Int) -> Float {
                weights.load(fromByteOffset: 4 &* column, as: Float.self)
            }
            var first = SIMD8<Float>()
            var second = SIMD8<Float>()
            var rest = constant
            var column = 0
            while column &+ EntryWeights.lanes <= book.eight {
                let row = bytes.loadUnaligned(fromByteOffset: wholes &+ column, as: SIMD8<UInt8>.self)
                first += weight(column) * numbers(row ^ 0x80)
                column &+= EntryWeights.lanes
            }
            while column < book.eight {
                rest += single(column) * Float(bytes[wholes &+ column] ^ 0x80)
                column &+= 1
            }
            column = 0
            let low = book.eight
            let high = book.eight &+ half
            while column &+ EntryWeights.lanes <= half {
                let row = bytes.loadUnaligned(fromByteOffset: pairs &+ column, as: SIMD8<UInt8>.self)
                first += weight(low &+ column) * numbers(row & 15)
                second += weight(high &+ column) * numbers(row &>> 4)
                column &+= EntryWeights.lanes
            }
            while column < half {
                let byte = bytes[pairs &+ column]
                rest += single(low &+ column) * Float(byte & 15) + single(high &+ column) * Float(byte >> 4)
                column &+= 1
            }
            return (first + second).sum() + rest
        }
    }

    /// An entry's own latents.
    static func latents(of entry: Int, book: CodeBookFile) -> [Float] {
        let half = book.four / 2
        let bytes = book.file.bytes
        return book.steps.indices.map { column in
            let step = book.steps[column]
            if column < book.eight {
                return step * (Float(bytes[book.wholes + entry * book.eight + column] ^ 0x80) - 127.5)
            }
            let place = column - book.eight
            let byte = bytes[book.pairs + entry * half + place % half]
            return step * (Float(place < half ? byte & 15 : byte >> 4) - 7.5)
        }
    }
}
