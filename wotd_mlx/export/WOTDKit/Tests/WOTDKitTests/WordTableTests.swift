import Foundation
import XCTest

@testable import WOTDKit

final class WordTableTests: XCTestCase {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)

    override func setUpWithError() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDown() {
        try? FileManager.default.removeItem(at: folder)
    }

    private func table() throws -> WordTable {
        try WordTable(url: TestTable.write(to: folder))
    }

    func testAWordHasItsIDHoweverItIsTyped() throws {
        let table = try table()
        XCTAssertEqual(table.count, 6)
        for typed in ["visage", "Visage", " VISAGE\n", "\u{FEFF}visage", "vis\u{200B}age", "visa\u{AD}ge"] {
            XCTAssertEqual(table.id(of: typed), SemanticID([7, 70_000]), typed.debugDescription)
        }
        for typed in ["Cafe\u{301}  au\u{A0}lait", "CAFÉ AU\tLAIT"] {
            XCTAssertEqual(table.id(of: typed), SemanticID([1, 2]), typed.debugDescription)
        }
        XCTAssertEqual(table.id(of: "Straße"), SemanticID([4, 4]))
        for other in ["", " ", "visages", "visag", "v", "zebra", "a"] {
            XCTAssertNil(table.id(of: other), other)
        }
    }

    func testALongTextIsReadAsFarAsAWordGoes() throws {
        let table = try table()
        let long = String(repeating: "e\u{301}", count: 2_000_000)
        XCTAssertNil(table.id(of: long))
        XCTAssertNil(table.id(of: "visage " + long))
    }

    func testNearestFirst() throws {
        let found = try table().nearest(to: [0, 3], count: 2)
        XCTAssertEqual(found.map(\.word), ["north", "between"])
        XCTAssertEqual(found[0].cosine, 1, accuracy: 1e-6)
        XCTAssertEqual(found[1].cosine, 0.8, accuracy: 0.005)
    }

    func testAsksForMoreThanThereAre() throws {
        let table = try table()
        XCTAssertEqual(table.nearest(to: [1, 1], count: 10).count, 3)
        XCTAssertEqual(table.nearest(to: [1, 1], count: .max).count, 3)
        XCTAssertEqual(table.nearest(to: [1, 1], count: 0).count, 0)
    }

    func testAnyLengthOfVectorHasTheSameNeighbours() throws {
        let table = try table()
        let usual = table.nearest(to: [1, 2], count: 3)
        for scale: Float in [1e-38, 1e-3, 1e37] {
            XCTAssertEqual(table.nearest(to: [scale, 2 * scale], count: 3), usual)
        }
    }

    func testAVectorWithoutADirectionHasNoNeighbours() throws {
        let table = try table()
        for vector: [Float] in [[0, 0], [1, .nan], [.infinity, 1], [1, 0, 0], []] {
            XCTAssertEqual(table.nearest(to: vector, count: 3), [])
        }
    }

    func testWordsUnderAnID() throws {
        let table = try table()
        XCTAssertEqual(table.words(with: SemanticID([0, 0])), ["between", "east"])
        XCTAssertEqual(table.words(with: SemanticID([7, 70_000])), ["visage"])
        for other in [[5, 5], [0], [0, 0, 0], [-1, 0], [0, .max]] {
            XCTAssertEqual(table.words(with: SemanticID(other)), [])
        }
    }

    func testAnyDamageIsNoticed() throws {
        let whole = try Data(contentsOf: TestTable.write(to: folder))
        let file = folder.appendingPathComponent("damaged.wotd")
        func assertRefused(_ data: Data, _ about: String) throws {
            try data.write(to: file)
            XCTAssertThrowsError(try WordTable(url: file), about) {
                XCTAssertTrue("\($0)".hasPrefix("damaged.wotd "), "\($0)")
                XCTAssertTrue("\($0)".hasSuffix("export the bundle again"), "\($0)")
            }
        }
        for place in stride(from: 0, to: whole.count, by: 97) {
            var flipped = whole
            flipped[place] ^= 1 << UInt8(place % 8)
            try assertRefused(flipped, "byte \(place)")
            try assertRefused(whole.prefix(place), "\(place) bytes")
        }
        try assertRefused(whole + [0], "one more")
        XCTAssertThrowsError(try WordTable(url: folder.appendingPathComponent("none.wotd")))
        XCTAssertThrowsError(try WordTable(url: folder))
    }

    func testATableThatTheManifestDoesNotDescribeIsRefused() throws {
        let url = try TestTable.write(to: folder)
        let right = Manifest.Words(file: url.lastPathComponent, count: 6, vectors: 3, dimensions: 2)
        XCTAssertEqual(try WordTable(bundle: folder, words: right).count, 6)
        let wrong = Manifest.Words(file: url.lastPathComponent, count: 6, vectors: 4, dimensions: 2)
        XCTAssertThrowsError(try WordTable(bundle: folder, words: wrong)) {
            XCTAssertTrue("\($0)".contains("(6, 3, 2) words, vectors and dimensions, expected (6, 4, 2)"), "\($0)")
        }
    }

    func testAdler32IsZlibs() {
        func sum(_ bytes: [UInt8]) -> UInt32 {
            var sum = Adler32()
            bytes.withUnsafeBytes { sum.add($0) }
            return sum.value
        }
        XCTAssertEqual(sum([]), 1)
        XCTAssertEqual(sum(Array("Wikipedia".utf8)), 0x11E6_0398)
        // As zlib.adler32 has it.
        XCTAssertEqual(sum(Array(repeating: 255, count: 1_000_003)), 0xE395_E4BB)
    }
}
