/// The checksum of zlib: a change of any one bit, and nearly any other, changes it.
struct Adler32 {
    private static let modulus: UInt64 = 65521
    private static let lanes = 16
    /// As many rows of lanes as 32 bits hold the sums of.
    private static let rows = 2048
    private var a: UInt64 = 1
    private var b: UInt64 = 0

    var value: UInt32 {
        UInt32(b << 16 | a)
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var start = 0
        while start < bytes.count {
            let count = min(bytes.count - start, Adler32.rows * Adler32.lanes)
            let whole = count / Adler32.lanes
            addRows(UnsafeRawBufferPointer(rebasing: bytes[start..<start + whole * Adler32.lanes]), whole)
            for byte in bytes[start + whole * Adler32.lanes..<start + count] {
                a += UInt64(byte)
                b += a
            }
            a %= Adler32.modulus
            b %= Adler32.modulus
            start += count
        }
    }

    /// Adds `a` to `b` after each byte, as the definition does it, for sixteen bytes at a time.
    private mutating func addRows(_ bytes: UnsafeRawBufferPointer, _ count: Int) {
        var sums = SIMD16<UInt32>()
        var sumsOfSums = SIMD16<UInt32>()
        for row in 0..<count {
            let part = bytes.loadUnaligned(fromByteOffset: row * Adler32.lanes, as: SIMD16<UInt8>.self)
            sums &+= SIMD16<UInt32>(truncatingIfNeeded: part)
            sumsOfSums &+= sums
        }
        b += a * UInt64(count * Adler32.lanes)
        for lane in 0..<Adler32.lanes {
            let sum = UInt64(sums[lane])
            a += sum
            b += UInt64(Adler32.lanes) * UInt64(sumsOfSums[lane]) - UInt64(lane) * sum
        }
    }
}
