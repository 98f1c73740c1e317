import Foundation
import XCTest

@testable import WOTDKit

/// The box's fixtures: what the exporter's tokenizer made of each text.
final class FixtureTests: XCTestCase {
    func testTokensOfEveryFixture() throws {
        let box: URL = try TestBox.folder()
        let manifest: Manifest = try Manifest.read(box: box)
        let fixtures: Fixtures = try TestBox.fixtures()
        let description: Manifest.Tokenizer = try XCTUnwrap(manifest.tokenizer)
        let tokenizer = try WordPieceTokenizer(url: box.appendingPathComponent(description.file))
        XCTAssertEqual(fixtures.maxLength, description.maxLength)
        XCTAssertFalse(fixtures.cases.isEmpty)
        for fixture in fixtures.cases {
            let found: Tokens = tokenizer.encode(fixture.text, maxLength: fixtures.maxLength)
            XCTAssertEqual(found.tokens, fixture.tokens, "tokens of \(fixture.text.debugDescription)")
            XCTAssertEqual(found.mask, fixture.mask, "mask of \(fixture.text.debugDescription)")
        }
    }

    func testEveryWordIsItsOwnNearest() throws {
        let box: URL = try TestBox.folder()
        let manifest: Manifest = try Manifest.read(box: box)
        guard let words = manifest.words else {
            throw XCTSkip("the box lists no words")
        }
        let index = try WordIndex(box: box, words: words)
        XCTAssertEqual(index.words.count, words.texts.count)
        let vectors: [Float] = WordIndex.floats(try Data(contentsOf: box.appendingPathComponent(words.file)))
        for row in 0..<min(5, words.texts.count) {
            let from: Int = row * words.dimensions
            let vector: [Float] = Array(vectors[from..<(from + words.dimensions)])
            let nearest: [Neighbour] = index.nearest(to: vector, count: 1)
            XCTAssertEqual(nearest.first?.cosine ?? 0, 1, accuracy: 1e-3)
            XCTAssertTrue(index.words(with: words.ids[row]).contains(words.texts[row]))
        }
    }
}
