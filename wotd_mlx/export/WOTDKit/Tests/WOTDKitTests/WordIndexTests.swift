import Foundation
import XCTest

@testable import WOTDKit

final class WordIndexTests: XCTestCase {
    private func index() throws -> WordIndex {
        let ids = [SemanticID([0, 0]), SemanticID([0, 1]), SemanticID([0, 0])]
        let vectors: [Float] = [1, 0, 0, 1, 0.6, 0.8]
        return try WordIndex(words: ["east", "north", "between"], ids: ids, vectors: vectors, dimensions: 2)
    }

    func testNearestFirst() throws {
        let found = try index().nearest(to: [0, 3], count: 2)
        XCTAssertEqual(found.map(\.word), ["north", "between"])
        XCTAssertEqual(found[0].cosine, 1, accuracy: 1e-6)
        XCTAssertEqual(found[1].cosine, 0.8, accuracy: 1e-6)
    }

    func testAsksForMoreThanThereAre() throws {
        XCTAssertEqual(try index().nearest(to: [1, 1], count: 10).count, 3)
        XCTAssertEqual(try index().nearest(to: [1, 1], count: 0).count, 0)
    }

    func testAVectorWithoutADirectionHasNoNeighbours() throws {
        XCTAssertEqual(try index().nearest(to: [0, 0], count: 3), [])
        XCTAssertEqual(try index().nearest(to: [1, .nan], count: 3), [])
        XCTAssertEqual(try index().nearest(to: [1, 0, 0], count: 3), [])
    }

    func testWordsUnderAnID() throws {
        XCTAssertEqual(try index().words(with: SemanticID([0, 0])), ["east", "between"])
        XCTAssertEqual(try index().words(with: SemanticID([5, 5])), [])
    }

    func testWrongSizesAreRefused() {
        XCTAssertThrowsError(try WordIndex(words: ["a"], ids: [SemanticID([0])], vectors: [1, 0, 0], dimensions: 2))
        XCTAssertThrowsError(try WordIndex(words: ["a"], ids: [], vectors: [1, 0], dimensions: 2))
    }

    func testFloatsAreLittleEndian() {
        let bytes: [UInt8] = [0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0xC0]
        XCTAssertEqual(WordIndex.floats(Data(bytes)), [1, -2])
        XCTAssertEqual(WordIndex.floats(Data()), [])
    }
}
