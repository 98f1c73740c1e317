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
        case kind
        case normalizer
        case text
        case tokens
        case mask
        case maxLength = "max_length"
    }
}

final class TokenizerTests: XCTestCase {
    private func tokenizer(_ normalizer: String) throws -> WordPieceTokenizer {
        let part: String = try XCTUnwrap(TokenizerVectors.normalizers[normalizer])
        let text: String = TokenizerVectors.tokenizer.replacingOccurrences(of: "\"NORMALIZER\"", with: part)
        return try WordPieceTokenizer(data: Data(text.utf8))
    }

    func testVectors() throws {
        let cases: [VectorCase] = try JSONDecoder().decode(
            [VectorCase].self, from: Data(TokenizerVectors.cases.utf8))
        XCTAssertGreaterThanOrEqual(cases.count, 80)
        var tokenizers: [String: WordPieceTokenizer] = [:]
        for name in TokenizerVectors.normalizers.keys {
            tokenizers[name] = try tokenizer(name)
        }
        for vector in cases {
            let tokenizer: WordPieceTokenizer = try XCTUnwrap(tokenizers[vector.normalizer])
            let found: Tokens = tokenizer.encode(vector.text, maxLength: vector.maxLength)
            let about: String = "\(vector.kind), \(vector.normalizer): \(vector.text.debugDescription)"
            XCTAssertEqual(found.tokens, vector.tokens, about)
            XCTAssertEqual(found.mask, vector.mask, about)
        }
    }

    func testAnyLengthIsKept() throws {
        let tokenizer: WordPieceTokenizer = try self.tokenizer("uncased")
        for length in 0..<6 {
            let found: Tokens = tokenizer.encode("twilight", maxLength: length)
            XCTAssertEqual(found.tokens.count, length)
            XCTAssertEqual(found.mask.count, length)
        }
        XCTAssertEqual(tokenizer.encode("twilight", maxLength: -1).tokens, [])
    }

    func testAnotherTokenizerIsRefused() {
        let text: String = TokenizerVectors.tokenizer
            .replacingOccurrences(of: "\"NORMALIZER\"", with: "{\"type\": \"NFC\"}")
        XCTAssertThrowsError(try WordPieceTokenizer(data: Data(text.utf8))) { (error: Error) in
            XCTAssertTrue(error.localizedDescription.contains("BertNormalizer"))
        }
        XCTAssertThrowsError(try WordPieceTokenizer(data: Data("{}".utf8)))
        XCTAssertThrowsError(try WordPieceTokenizer(url: URL(fileURLWithPath: "/nowhere/tokenizer.json")))
    }

    func testTablesAreSortedRanges() {
        for table in [UnicodeTables.removed, UnicodeTables.punctuation, UnicodeTables.nonspacingMarks] {
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
