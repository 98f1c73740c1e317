import Foundation
import XCTest

@testable import WOTDKit

/// The bundle's fixtures: what the exporter's tokenizer made of each text, and which words it knows.
final class FixtureTests: XCTestCase {
    func testTokensOfEveryFixture() throws {
        let bundle = try TestBundle.folder()
        let tokenizer = try WordPieceTokenizer(bundle: bundle)
        let fixtures = try TestBundle.fixtures()
        XCTAssertEqual(fixtures.maxLength, try Manifest.read(bundle: bundle).tokenizer?.maxLength)
        XCTAssertFalse(fixtures.cases.isEmpty)
        for fixture in fixtures.cases {
            let found = tokenizer.encode(NormalForm(fixture.text), maxLength: fixtures.maxLength)
            XCTAssertEqual(found.tokens, fixture.tokens, "tokens of \(fixture.text.debugDescription)")
            XCTAssertEqual(found.mask, fixture.mask, "mask of \(fixture.text.debugDescription)")
        }
    }

    func testKnownWordsHaveTheIDThatEvidenceGives() throws {
        let bundle = try TestBundle.folder()
        let listed = try XCTUnwrap(Manifest.read(bundle: bundle).words)
        let words = try WordTable(bundle: bundle, words: listed)
        let fixtures = try TestBundle.fixtures().encoded
        XCTAssertEqual(Set(fixtures.map(\.source)), ["known", "predicted"])
        for fixture in fixtures {
            let id = fixture.source == "known" ? SemanticID(fixture.id) : nil
            XCTAssertEqual(words.id(of: fixture.text), id, fixture.text.debugDescription)
            if let id {
                let found = words.words(with: id)
                XCTAssertTrue(found.contains(NormalForm.of(fixture.text)), fixture.text.debugDescription)
            }
        }
    }
}
