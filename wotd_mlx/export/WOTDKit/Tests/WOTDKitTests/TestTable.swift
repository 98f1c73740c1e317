import Foundation
import XCTest

@testable import WOTDKit

/// The small table of `TokenizerVectors`, as a file.
enum TestTable {
    static func write(to folder: URL) throws -> URL {
        let url = folder.appendingPathComponent("words.wotd")
        try XCTUnwrap(Data(base64Encoded: TokenizerVectors.table)).write(to: url)
        return url
    }

    /// The table's tokenizer with one of the normalizers.
    static func tokenizer(_ normalizer: String = "uncased") throws -> WordPieceTokenizer {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // A mapped file stays when its name is gone.
        defer { try? FileManager.default.removeItem(at: folder) }
        let text = try XCTUnwrap(TokenizerVectors.settings[normalizer])
        let settings = try JSONDecoder().decode(Manifest.Tokenizer.self, from: Data(text.utf8))
        return try WordPieceTokenizer(words: WordTable(url: write(to: folder)), settings: settings)
    }
}
