import Foundation
import XCTest

@testable import WOTDKit

/// A case of `TokenizerVectors`: a text, and what the `tokenizers` library makes of it.
private struct VectorCase: Decodable {
    let kind: String
    let normalizer: String
    let text: String
    let maxLength: Int
    let tokens: [Int32]
    let mask: [Int32]

    enum CodingKeys: String, CodingKey {
        case kind, normalizer, text, tokens, mask
        case maxLength = "max_length"
    }
}

final class TokenizerTests: XCTestCase {
    func testVectors() throws {
        let cases = try JSONDecoder().decode([VectorCase].self, from: Data(TokenizerVectors.cases.utf8))
        XCTAssertGreaterThanOrEqual(cases.count, 80)
        let tokenizers = try Dictionary(
            uniqueKeysWithValues: TokenizerVectors.settings.keys.map { ($0, try TestTable.tokenizer($0)) })
        for vector in cases {
            let found = try XCTUnwrap(tokenizers[vector.normalizer]).encode(vector.text, maxLength: vector.maxLength)
            let about = "\(vector.kind), \(vector.normalizer): \(vector.text.debugDescription)"
            XCTAssertEqual(found.tokens, vector.tokens, about)
            XCTAssertEqual(found.mask, vector.mask, about)
        }
    }

    func testAnyLengthIsKept() throws {
        let tokenizer = try TestTable.tokenizer()
        for length in 0..<6 {
            let found = tokenizer.encode("twilight", maxLength: length)
            XCTAssertEqual(found.tokens.count, length)
            XCTAssertEqual(found.mask.count, length)
            XCTAssertEqual(found.isTruncated, length < 3)
        }
        XCTAssertEqual(tokenizer.encode("twilight", maxLength: -1).tokens, [])
    }

    func testATextIsCutWhereSomethingOfItIsLeftOut() throws {
        let tokenizer = try TestTable.tokenizer()
        XCTAssertFalse(tokenizer.encode("the word  \n", maxLength: 4).isTruncated)
        XCTAssertTrue(tokenizer.encode("the word of", maxLength: 4).isTruncated)
        XCTAssertTrue(tokenizer.encode("the word [SEP]", maxLength: 4).isTruncated)
        XCTAssertTrue(tokenizer.encode("xyzzy", maxLength: 4).isTruncated)
        XCTAssertFalse(tokenizer.encode("", maxLength: 2).isTruncated)
    }

    /// The tokens of a text of `count` times the part, then the end; and how many of its scalars were looked at.
    private func read(_ part: String, _ count: Int, end: String = "") throws -> (Tokens, Int) {
        var looked = 0
        let parts = repeatElement(Array(part.unicodeScalars), count: count).lazy.flatMap { $0 }
        let text = [AnySequence(parts), AnySequence(Array(end.unicodeScalars))].lazy.flatMap { $0 }.map {
            looked += 1
            return $0
        }
        return (try TestTable.tokenizer().encode(text, maxLength: 16), looked)
    }

    func testALongTextIsReadAsFarAsItsTokensNeed() throws {
        let seven = try TestTable.tokenizer().encode(String(repeating: "the word ", count: 7) + "the", maxLength: 16)
        for count in [1_000, 1_000_000] {
            let (tokens, looked) = try read("the word ", count)
            XCTAssertEqual(tokens, seven)
            XCTAssertTrue(tokens.isTruncated)
            XCTAssertLessThan(looked, 100)
            XCTAssertLessThan(try read("中", count).1, 40)
            XCTAssertLessThan(try read("é!", count).1, 40)
        }
    }

    func testALongWordIsReadOnce() throws {
        let unknown = try TestTable.tokenizer().encode("\u{378} the", maxLength: 16)
        for part in ["x", "é", "각", "\u{1DF6}", "\u{1D165}\u{302E}", "\u{200B}x"] {
            let (tokens, looked) = try read(part, 5_000, end: " the")
            XCTAssertEqual(tokens, unknown, part.debugDescription)
            XCTAssertEqual(looked, 5_000 * part.unicodeScalars.count + 4, part.debugDescription)
        }
        let the = try TestTable.tokenizer().encode("the", maxLength: 16)
        XCTAssertEqual(try read("\u{301}", 5_000, end: " the").0, the)
    }

    func testPiecesThatAreCanonicallyEquivalentAreTwo() throws {
        let tokenizer = try TestTable.tokenizer("untouched")
        let composed = tokenizer.encode("é", maxLength: 3).tokens
        XCTAssertNotEqual(composed, tokenizer.encode("e\u{301}", maxLength: 3).tokens)
        XCTAssertFalse(composed.contains(1))
    }

    func testABundleWithoutATokenizerIsRefused() {
        XCTAssertThrowsError(try WordPieceTokenizer(bundle: URL(fileURLWithPath: "/nowhere"))) {
            XCTAssertTrue("\($0)".contains("no manifest.json in /nowhere"), "\($0)")
        }
    }

    func testTablesAreSortedRanges() {
        let tables = [
            UnicodeTables.removed, UnicodeTables.punctuation, UnicodeTables.nonspacingMarks,
            UnicodeTables.decomposed, UnicodeTables.reordered,
        ]
        for table in tables {
            XCTAssertEqual(table.count % 2, 0)
            XCTAssertEqual(table, table.sorted())
        }
        XCTAssertTrue(UnicodeTables.contains(UnicodeTables.punctuation, "!"))
        XCTAssertTrue(UnicodeTables.contains(UnicodeTables.punctuation, "~"))
        XCTAssertFalse(UnicodeTables.contains(UnicodeTables.punctuation, "a"))
        XCTAssertTrue(UnicodeTables.contains(UnicodeTables.nonspacingMarks, "\u{301}"))
        XCTAssertTrue(UnicodeTables.contains(UnicodeTables.removed, "\u{0}"))
        XCTAssertTrue(UnicodeTables.contains(UnicodeTables.removed, "\u{10FFFD}"))
    }
}
