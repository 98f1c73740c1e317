import Foundation
import XCTest

@testable import WOTDKit

/// `fixtures.json` of a bundle.
struct Fixtures: Decodable {
    struct Case: Decodable {
        let text: String
        let tokens: [Int32]
        let mask: [Int32]
        let vector: [Float]
        let id: [Int]
    }

    /// What `encode` gives, and whether the word is known or the model asked.
    struct Encoded: Decodable {
        let text: String
        let id: [Int]
        let source: String
    }

    let format: Int
    let maxLength: Int
    let cases: [Case]
    let encoded: [Encoded]

    enum CodingKeys: String, CodingKey {
        case format, cases, encoded
        case maxLength = "max_length"
    }
}

/// The bundle that the tests read: the folder in WOTD_BUNDLE, else the one that holds this package.
enum TestBundle {
    static func folder() throws -> URL {
        let named = ProcessInfo.processInfo.environment["WOTD_BUNDLE"].flatMap { $0.isEmpty ? nil : $0 }
        let above = (0..<4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let url = named.map { URL(fileURLWithPath: $0, isDirectory: true) } ?? above
        guard FileManager.default.fileExists(atPath: url.appendingPathComponent("manifest.json").path) else {
            throw XCTSkip("no bundle at \(url.path); name one in WOTD_BUNDLE")
        }
        if try Manifest.read(bundle: url).kind != "text-encoder" {
            throw XCTSkip("the bundle at \(url.path) is no text encoder")
        }
        return url
    }

    static func fixtures() throws -> Fixtures {
        let data = try Data(contentsOf: folder().appendingPathComponent("fixtures.json"))
        return try JSONDecoder().decode(Fixtures.self, from: data)
    }

    static func cosine(_ a: [Float], _ b: [Float]) -> Float {
        func product(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
    }
}
