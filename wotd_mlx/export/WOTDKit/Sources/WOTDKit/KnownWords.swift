import Foundation

/// The words that the bundle knows, with the IDs that evidence gives them.
public final class KnownWords: Sendable {
    private let ids: [String: SemanticID]

    /// Reads a table: a word and its numbers a line, a tab between the two and commas between the numbers.
    public init(_ table: String) throws {
        var ids: [String: SemanticID] = [:]
        for (row, line) in table.utf8.split(separator: UInt8(ascii: "\n")).enumerated() {
            let parts = line.split(separator: UInt8(ascii: "\t"))
            let numbers = parts.last?.split(separator: UInt8(ascii: ",")).map { Int(Substring($0)) } ?? []
            guard parts.count == 2, !numbers.isEmpty, !numbers.contains(nil) else {
                let found = "line \(row + 1) of the known words is \"\(Substring(line))\""
                throw WOTDError("\(found), expected word and numbers")
            }
            ids[String(Substring(parts[0]))] = SemanticID(numbers.compactMap { $0 })
        }
        self.ids = ids
    }

    /// Reads the file that a manifest names.
    public convenience init(bundle: URL, known: Manifest.Known) throws {
        let table: String
        do {
            table = try String(contentsOf: bundle.appendingPathComponent(known.file), encoding: .utf8)
        } catch {
            throw WOTDError("\(known.file) can't be read: \(error.localizedDescription)")
        }
        try self.init(table)
        if count != known.words {
            throw WOTDError("\(known.file) holds \(count) words, expected \(known.words)")
        }
    }

    public var count: Int { ids.count }

    /// The ID of a word, however it is typed; nil for one that the bundle doesn't know.
    public func id(of word: String) -> SemanticID? {
        ids[NormalForm.of(word)]
    }
}
