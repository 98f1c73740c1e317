import Foundation
import XCTest

@testable import WOTDKit

/// The bundle's fixtures: what the exporter's tokenizer made of each text.
final class FixtureTests: XCTestCase {
    func testTokensOfEveryFixture() throws {
        let bundle = try TestBundle.folder()
        let description = try XCTUnwrap(Manifest.read(bundle: bundle).tokenizer)
        let tokenizer = try WordPieceTokenizer(url: bundle.appendingPathComponent(description.file))
        let fixtures = try TestBundle.fixtures()
        XCTAssertEqual(fixtures.maxLength, description.maxLength)
        XCTAssertFalse(fixtures.cases.isEmpty)
        for fixture in fixtures.cases {
            let found = tokenizer.encode(fixture.text, maxLength: fixtures.maxLength)
            XCTAssertEqual(found.tokens, fixture.tokens, "tokens of \(fixture.text.debugDescription)")
            XCTAssertEqual(found.mask, fixture.mask, "mask of \(fixture.text.debugDescription)")
        }
    }

    func testEveryWordIsItsOwnNearest() throws {
        let bundle = try TestBundle.folder()
        guard let words = try Manifest.read(bundle: bundle).words else {
            throw XCTSkip("the bundle lists no words")
        }
        let index = try WordIndex(bundle: bundle, words: words)
        XCTAssertEqual(index.words.count, words.texts.count)
        let vectors = WordIndex.floats(try Data(contentsOf: bundle.appendingPathComponent(words.file)))
        for row in 0..<min(5, words.texts.count) {
            let vector = Array(vectors[(row * words.dimensions)...].prefix(words.dimensions))
            let nearest = index.nearest(to: vector, count: 1)
            XCTAssertEqual(try XCTUnwrap(nearest.first).cosine, 1, accuracy: 1e-3)
            XCTAssertTrue(index.words(with: words.ids[row]).contains(words.texts[row]))
        }
    }
}
