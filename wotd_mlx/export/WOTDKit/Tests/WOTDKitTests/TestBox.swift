import Foundation
import XCTest

@testable import WOTDKit

/// `fixtures.json` of a box.
struct Fixtures: Decodable {
    struct Case: Decodable {
        let text: String
        let tokens: [Int32]
        let mask: [Int32]
        let vector: [Float]
        let id: [Int]
    }

    let format: Int
    let maxLength: Int
    let cases: [Case]

    enum CodingKeys: String, CodingKey {
        case format
        case cases
        case maxLength = "max_length"
    }
}

/// The box that the tests read: the folder in WOTD_BOX, else the one that holds this package.
enum TestBox {
    static func folder() throws -> URL {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 {
            url.deleteLastPathComponent()
        }
        if let path = ProcessInfo.processInfo.environment["WOTD_BOX"], !path.isEmpty {
            url = URL(fileURLWithPath: path, isDirectory: true)
        }
        let file: URL = url.appendingPathComponent("manifest.json")
        if !FileManager.default.fileExists(atPath: file.path) {
            throw XCTSkip("no box at \(url.path); name one in WOTD_BOX")
        }
        if try Manifest.read(box: url).kind != "text-encoder" {
            throw XCTSkip("the box at \(url.path) is no text encoder")
        }
        return url
    }

    static func fixtures() throws -> Fixtures {
        let data: Data = try Data(contentsOf: folder().appendingPathComponent("fixtures.json"))
        return try JSONDecoder().decode(Fixtures.self, from: data)
    }

    static func cosine(_ a: [Float], _ b: [Float]) -> Float {
        var product: Float = 0
        var squareA: Float = 0
        var squareB: Float = 0
        for i in 0..<min(a.count, b.count) {
            product += a[i] * b[i]
            squareA += a[i] * a[i]
            squareB += b[i] * b[i]
        }
        return product / (squareA * squareB).squareRoot()
    }
}
