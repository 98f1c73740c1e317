import Foundation

/// A bundle's dictionary: which of its codes is nearest to a vector. It is mapped, and searched in float32.
public struct CodeBook: Sendable {
    private struct Candidate {
        let entry: Int
        let cell: Int
        let along: Float
        let score: Float
    }

    let file: CodeBookFile

    /// Opens a `dictionary.wotd`; throws `WOTDError` where it is cut, damaged or of another version.
    public init(url: URL) throws {
        file = try CodeBookFile(url: url)
    }

    /// Opens the file that a manifest names; throws `WOTDError` too where the two don't fit.
    public init(bundle: URL, entries: Manifest.Entries) throws {
        try self.init(url: bundle.appendingPathComponent(entries.file))
        if count != entries.entries {
            throw WOTDError("\(entries.file) holds \(count) entries, expected \(entries.entries)")
        }
    }

    /// How many entries it has.
    public var count: Int {
        file.count
    }

    /// The ID of the code nearest to a vector that claims no other values than the likely ones: `probabilities` are
    /// those of the attributes' values, one attribute's after the other's.
    ///
    /// Throws `WOTDError` where there are more or fewer numbers than expected, or one isn't finite.
    public func search(_ vector: [Float], probabilities: [Float]) throws -> SemanticID {
        let expected = (file.dimensions, file.sizes.reduce(0, +))
        guard (vector.count, probabilities.count) == expected else {
            let found = "\(vector.count) numbers and \(probabilities.count) probabilities"
            throw WOTDError("got \(found), expected \(expected.0) and \(expected.1); export the bundle again")
        }
        guard vector.allSatisfy(\.isFinite) else {
            throw WOTDError("the vector has numbers that are not finite")
        }
        return nearest(latents(of: vector), values: told(probabilities))
    }

    private func latents(of vector: [Float]) -> [Float] {
        vector.withUnsafeBytes { vector in
            file.map.withUnsafeBytes { map in
                file.offsets.indices.map { row in
                    let start = row * file.dimensions
                    var sums = SIMD8<Float>()
                    var column = 0
                    while column + 8 <= file.dimensions {
                        let ours = vector.loadUnaligned(fromByteOffset: 4 * column, as: SIMD8<Float>.self)
                        sums += ours * map.loadUnaligned(fromByteOffset: 4 * (start + column), as: SIMD8<Float>.self)
                        column += 8
                    }
                    var sum = sums.sum() + file.offsets[row]
                    while column < file.dimensions {
                        let ours = vector.load(fromByteOffset: 4 * column, as: Float.self)
                        sum += ours * map.load(fromByteOffset: 4 * (start + column), as: Float.self)
                        column += 1
                    }
                    return sum
                }
            }
        }
    }

    /// Each attribute's value that is likelier than not; as many as there are values where none is.
    private func told(_ probabilities: [Float]) -> [Int] {
        var start = 0
        return file.sizes.map { size in
            defer { start += size }
            let part = probabilities[start..<start + size]
            guard let best = part.max(), best > file.factors.likely else { return size }
            return (part.firstIndex(of: best) ?? start) - start
        }
    }

    private func nearest(_ latents: [Float], values: [Int]) -> SemanticID {
        let weights = EntryWeights(latents: latents, book: file)
        let more = file.cells.map { cost(of: $0, values) }
        var (best, found) = (Float.infinity, (cell: 0, entry: 0, child: 0))
        for candidate in candidates(weights, values, more) {
            let (cell, entry) = (file.cells[candidate.cell], candidate.entry)
            if candidate.score < best {
                (best, found) = (candidate.score, (candidate.cell, entry, 0))
            }
            let places = file.neighbourPlaces(of: entry, in: cell)
            if places.isEmpty { continue }
            let own = EntryWeights.latents(of: entry, book: file)
            let f = file.factors
            let alone = f.own * f.own * file.square(of: entry) - 2 * f.own * candidate.along + more[candidate.cell]
            for (child, place) in places.enumerated() {
                let other = file.neighbour(place)
                let between = zip(own, EntryWeights.latents(of: other, book: file)).reduce(0) { $0 + $1.0 * $1.1 }
                let leaning = f.other * f.other * file.square(of: other) + 2 * f.own * f.other * between
                let score = alone + leaning - 2 * f.other * weights.product(other)
                if score < best {
                    (best, found) = (score, (candidate.cell, entry, child + 1))
                }
            }
        }
        let cell = file.cells[found.cell]
        let last = (found.entry + found.child * cell.entries.count) % (file.levels.last ?? 1)
        return SemanticID(cell.numbers + [last])
    }

    /// What a cell's values cost: less where they are those that were told, far more where they are others.
    private func cost(of cell: CodeBookFile.Cell, _ values: [Int]) -> Float {
        let agreements = zip(cell.values, values).reduce(0) { $0 + ($1.0 == $1.1 ? 1 : 0) }
        let contradictions = Float(self.contradictions(of: cell, values))
        return file.factors.contradiction * contradictions - file.factors.agreement * Float(agreements)
    }

    private func contradictions(of cell: CodeBookFile.Cell, _ values: [Int]) -> Int {
        file.sizes.indices.filter { cell.values[$0] != values[$0] && cell.values[$0] != file.sizes[$0] }.count
    }

    /// The entries that are best alone, the best first: of cells that contradict nothing, or, where those have too few
    /// entries, of all.
    private func candidates(_ weights: EntryWeights, _ values: [Int], _ more: [Float]) -> [Candidate] {
        let agreeing = file.cells.indices.filter { contradictions(of: file.cells[$0], values) == 0 }
        let enough = agreeing.reduce(0) { $0 + file.cells[$1].entries.count } >= file.candidates
        let alone = file.factors.alone
        var best: [Candidate] = []
        best.reserveCapacity(file.candidates + 1)
        var least = Float.infinity
        for cell in enough ? agreeing : Array(file.cells.indices) {
            weights.scan(file.cells[cell].entries) { entry, along in
                let score = alone * alone * file.square(of: entry) - 2 * alone * along + more[cell]
                guard score < least else { return }
                let place = best.firstIndex { score < $0.score } ?? best.count
                best.insert(Candidate(entry: entry, cell: cell, along: along, score: score), at: place)
                if best.count > file.candidates {
                    best.removeLast()
                }
                if best.count == file.candidates {
                    least = best[best.count - 1].score
                }
            }
        }
        return best
    }
}
