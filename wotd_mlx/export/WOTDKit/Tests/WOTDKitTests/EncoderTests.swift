#if canImport(CoreML)
import CoreML
import Foundation
import XCTest

@testable import WOTDKit

/// The model on this device against what the exporter computed.
final class EncoderTests: XCTestCase {
    func testFixturesKeepTheirIDsAndVectors() async throws {
        let encoder = try await SemanticEncoder(url: try TestBox.folder())
        let fixtures: Fixtures = try TestBox.fixtures()
        var same: Int = 0
        for fixture in fixtures.cases {
            let found: WOTDKit.Encoding = try await encoder.encodeWhole(fixture.text)
            if found.id == SemanticID(fixture.id) {
                same += 1
            }
            let cosine: Float = TestBox.cosine(found.vector, fixture.vector)
            XCTAssertGreaterThan(cosine, 0.999, "vector of \(fixture.text.debugDescription)")
        }
        let share: Double = Double(same) / Double(max(1, fixtures.cases.count))
        XCTAssertGreaterThan(share, 0.995, "\(same) of \(fixtures.cases.count) IDs are the exporter's")
    }

    func testASecondEncoderUsesTheKeptModel() async throws {
        let box: URL = try TestBox.folder()
        let first = try await SemanticEncoder(url: box, computeUnits: MLComputeUnits.cpuOnly)
        let second = try await SemanticEncoder(url: box, computeUnits: MLComputeUnits.cpuOnly)
        let a: SemanticID = try await first.encodeWhole("twilight").id
        let b: SemanticID = try await second.encodeWhole("twilight").id
        XCTAssertEqual(a, b)
        XCTAssertEqual(first.labels(a).count, a.numbers.count)
    }
}

extension EncoderTests {
    func testAWordOfTheBoxHasItsOwnID() async throws {
        let encoder = try await SemanticEncoder(url: try TestBox.folder())
        guard let word = encoder.manifest.words?.texts.first, let id = encoder.manifest.words?.ids.first else {
            throw XCTSkip("the box lists no words")
        }
        let found: SemanticID = try await encoder.encode(word)
        XCTAssertEqual(found, id)
    }
}
#endif
