/// A vector's latents as they are multiplied with entries: what each byte of an entry adds to the product is looked up.
///
/// A value of an entry is (k + ½) steps, with one k to a byte, or two of four bits.
struct EntryWeights {
    private let book: CodeBookFile
    /// 256 products for each byte of an entry.
    private let products: [Float]

    init(latents: [Float], book: CodeBookFile) {
        self.book = book
        let half = book.four / 2
        let weights = zip(latents, book.steps).map { $0 * $1 }
        var products = [Float](repeating: 0, count: 256 * (book.eight + half))
        for column in 0..<book.eight {
            for byte in 0..<256 {
                products[256 * column + byte] = weights[column] * (Float(byte ^ 0x80) - 127.5)
            }
        }
        for column in book.eight..<book.eight + half {
            for byte in 0..<256 {
                let low = weights[column] * (Float(byte & 15) - 7.5)
                products[256 * column + byte] = low + weights[column + half] * (Float(byte >> 4) - 7.5)
            }
        }
        self.products = products
    }

    /// The product of the latents with an entry.
    func product(_ entry: Int) -> Float {
        var found: Float = 0
        scan(entry..<entry + 1) { found = $1 }
        return found
    }

    /// The products of the latents with some entries, one after the other.
    func scan(_ entries: Range<Int>, _ body: (Int, Float) -> Void) {
        let (eight, half) = (book.eight, book.four / 2)
        guard let bytes = book.file.bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        products.withUnsafeBufferPointer { products in
            guard let table = products.baseAddress else { return }
            for entry in entries {
                let wholes = EntryWeights.sum(table, bytes + (book.wholes + entry * eight), eight)
                let pairs = EntryWeights.sum(table + 256 * eight, bytes + (book.pairs + entry * half), half)
                body(entry, wholes + pairs)
            }
        }
    }

    /// What `count` bytes add, by four sums at a time, none of which waits for another.
    private static func sum(_ table: UnsafePointer<Float>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Float {
        var (a, b, c, d): (Float, Float, Float, Float) = (0, 0, 0, 0)
        var column = 0
        while column &+ 4 <= count {
            let row = table + column &<< 8
            a += row[Int(bytes[column])]
            b += row[256 &+ Int(bytes[column &+ 1])]
            c += row[512 &+ Int(bytes[column &+ 2])]
            d += row[768 &+ Int(bytes[column &+ 3])]
            column &+= 4
        }
        while column < count {
            a += (table + column &<< 8)[Int(bytes[column])]
            column &+= 1
        }
        return (a + b) + (c + d)
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
