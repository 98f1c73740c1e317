#if canImport(CoreML)
import CoreML
import Foundation
import XCTest

@testable import WOTDKit

/// The model on this device against what the exporter computed.
final class EncoderTests: XCTestCase {
    func testFixturesKeepTheirIDsAndVectors() async throws {
        let encoder = try await SemanticEncoder(url: try TestBundle.folder())
        let cases = try TestBundle.fixtures().cases
        var same = 0
        for fixture in cases {
            let found = try await encoder.encodeWhole(fixture.text)
            same += found.id == SemanticID(fixture.id) ? 1 : 0
            let cosine = TestBundle.cosine(found.vector, fixture.vector)
            XCTAssertGreaterThan(cosine, 0.999, "vector of \(fixture.text.debugDescription)")
        }
        XCTAssertGreaterThan(Double(same), 0.995 * Double(cases.count), "IDs that are the exporter's")
    }

    func testThePackageThatComesFirstIsTaken() async throws {
        let encoder = try await SemanticEncoder(url: try TestBundle.folder())
        XCTAssertEqual(encoder.refused, [])
        XCTAssertTrue(["Core AI", "Core ML"].contains(encoder.engine), encoder.engine)
    }

    func testASecondEncoderUsesTheKeptModel() async throws {
        let bundle = try TestBundle.folder()
        let first = try await SemanticEncoder(url: bundle, computeUnits: .cpuOnly)
        let second = try await SemanticEncoder(url: bundle, computeUnits: .cpuOnly)
        let text = try XCTUnwrap(TestBundle.fixtures().cases.first).text
        let id = try await first.encodeWhole(text).id
        let again = try await second.encodeWhole(text).id
        XCTAssertEqual(id, again)
        XCTAssertEqual(first.labels(id).count, id.numbers.count)
    }

    func testKnownWordsHaveTheirOwnIDsAndOthersTheModels() async throws {
        let encoder = try await SemanticEncoder(url: try TestBundle.folder())
        let fixtures = try TestBundle.fixtures().encoded
        let found = try await encoder.encode(fixtures.map(\.text))
        XCTAssertEqual(found.count, fixtures.count)
        var same = 0
        for (id, fixture) in zip(found, fixtures) {
            let alone = try await encoder.encode(fixture.text)
            XCTAssertEqual(id, alone, fixture.text.debugDescription)
            if fixture.source == "known" {
                XCTAssertEqual(id, SemanticID(fixture.id), fixture.text.debugDescription)
            }
            same += id == SemanticID(fixture.id) ? 1 : 0
        }
        XCTAssertGreaterThan(Double(same), 0.995 * Double(fixtures.count), "IDs that are the exporter's")
    }

    func testOneEncoderServesManyTasks() async throws {
        let encoder = try await SemanticEncoder(url: try TestBundle.folder())
        let cases = try TestBundle.fixtures().cases.prefix(32)
        let found = try await withThrowingTaskGroup(of: (String, SemanticID).self) { group in
            for text in cases.map(\.text) {
                group.addTask { (text, try await encoder.encodeWhole(text).id) }
            }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        for text in cases.map(\.text) {
            let alone = try await encoder.encodeWhole(text).id
            XCTAssertEqual(found[text], alone, text.debugDescription)
        }
    }

    func testACutTextSaysSo() async throws {
        let encoder = try await SemanticEncoder(url: try TestBundle.folder())
        for fixture in try TestBundle.fixtures().cases where fixture.text.count > 1000 {
            let found = try await encoder.encodeWhole(fixture.text)
            // One word of thousands of letters is one token.
            XCTAssertEqual(found.isTruncated, fixture.text.contains(" "), String(fixture.text.prefix(20)))
        }
    }

    func testACancelledTaskGetsNoAnswer() async throws {
        let encoder = try await SemanticEncoder(url: try TestBundle.folder())
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await encoder.encodeWhole("twilight")
        }
        let outcome = await task.result
        XCTAssertThrowsError(try outcome.get()) { XCTAssertTrue($0 is CancellationError) }
    }
}
#endif
