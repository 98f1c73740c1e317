import Foundation
import XCTest

@testable import WOTDKit

/// Which of a bundle's packages is used, with engines that give what a test wants.
final class ModelChoiceTests: XCTestCase {
    private struct Fake: ModelEngine {
        var ids: [Int32: [Float]] = [5: [1, 2], 6: [0, 1], 7: [3, 3]]
        var vector: [Float] = [0.6, 0.8]
        var error: (any Error)?

        func predict(_ tokens: Tokens) async throws -> [String: [Float]] {
            if let error { throw error }
            return ["id": ids[tokens.tokens[0]] ?? [], "vector": vector]
        }
    }

    private let checks: [Manifest.Check] = [
        Manifest.Check(text: "wolf", tokens: [5, 0], mask: [1, 0], id: [1, 2], vector: [0.6, 0.8]),
        Manifest.Check(text: "ember", tokens: [6, 0], mask: [1, 0], id: [0, 1], vector: [0.601, 0.799]),
        Manifest.Check(text: "two words", tokens: [7, 8], mask: [1, 1], id: [3, 3], vector: [0.6, 0.8]),
    ]
    private let right = Fake()
    private let otherID = Fake(ids: [5: [1, 2], 6: [0, 2], 7: [3, 3]])
    private let otherVector = Fake(vector: [0.8, 0.6])

    /// Core AI's candidate and Core ML's; nil for one that can't be opened.
    private func choice(_ coreAI: Fake?, _ coreML: Fake?, checks: [Manifest.Check]? = nil) async throws -> ModelChoice {
        let engines = [("Core AI", coreAI), ("Core ML", coreML)]
        let candidates = engines.map { name, engine in
            ModelChoice.Candidate(name: name) {
                guard let engine else { throw WOTDError("the package is gone") }
                return engine
            }
        }
        return try await ModelChoice.first(of: candidates, book: nil, checks: checks ?? self.checks)
    }

    private func refusal(_ coreAI: Fake?, _ coreML: Fake?) async -> String {
        do {
            return "\(try await choice(coreAI, coreML).name) was taken"
        } catch {
            return error.localizedDescription
        }
    }

    func testTheFirstIsTakenWhereItPasses() async throws {
        let found = try await choice(right, right)
        XCTAssertEqual(found.name, "Core AI")
        XCTAssertEqual(found.refused, [])
        let output = try await found.model.predict(Tokens(tokens: [6, 0], mask: [1, 0]))
        XCTAssertEqual(output.id, [0, 1])
    }

    func testTheFirstIsNotTriedBeyondWhatIsNeeded() async throws {
        // What comes after the one that passes isn't even opened.
        let found = try await choice(right, nil)
        XCTAssertEqual(found.name, "Core AI")
        XCTAssertEqual(found.refused, [])
    }

    func testAnotherIDFallsBackAndIsTold() async throws {
        let found = try await choice(otherID, right)
        XCTAssertEqual(found.name, "Core ML")
        XCTAssertEqual(found.refused, ["Core AI: \"ember\" has the ID [0,2], expected [0,1]"])
    }

    func testAnotherVectorFallsBackAndIsTold() async throws {
        let found = try await choice(otherVector, right)
        XCTAssertEqual(found.name, "Core ML")
        let told = "Core AI: the vector of \"wolf\" has a cosine of 0.96"
        XCTAssertTrue(found.refused.count == 1 && found.refused[0].hasPrefix(told), "\(found.refused)")
    }

    func testNoNumberAndTooFewNumbersAreNoVector() async throws {
        for vector in [[Float.nan, 0.8], [0.6, 0.8, 0], [], [0, 0]] {
            let found = try await choice(Fake(vector: vector), right)
            XCTAssertEqual(found.name, "Core ML", "\(vector)")
        }
    }

    func testWhatCannotBeOpenedOrFailsFallsBack() async throws {
        var found = try await choice(nil, right)
        XCTAssertEqual(found.name, "Core ML")
        XCTAssertEqual(found.refused, ["Core AI: the package is gone"])
        found = try await choice(Fake(error: WOTDError("no memory")), right)
        XCTAssertEqual(found.name, "Core ML")
        XCTAssertEqual(found.refused, ["Core AI: no memory"])
    }

    func testWhereBothDifferTheErrorSaysHow() async {
        let told = await refusal(otherID, otherVector)
        let start = "no package gives here what it gave at export: Core AI: \"ember\" has the ID"
        XCTAssertTrue(told.hasPrefix(start), told)
        XCTAssertTrue(told.contains("expected [0,1]; Core ML: the vector of \"wolf\" has a cosine of 0.96"), told)
    }

    func testACancelledTaskFallsBackOnNothing() async throws {
        do {
            _ = try await choice(Fake(error: CancellationError()), right)
            XCTFail("it was not told")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
    }

    func testOneAloneTellsItsOwnError() async throws {
        let gone = ModelChoice.Candidate(name: "Core ML") { throw WOTDError("the package is gone") }
        do {
            _ = try await ModelChoice.first(of: [gone], book: nil, checks: [])
            XCTFail("it was not told")
        } catch {
            XCTAssertEqual(error as? WOTDError, WOTDError("the package is gone"))
        }
    }

    func testABundleWithoutChecksIsTakenAsItIs() async throws {
        let found = try await choice(otherID, right, checks: [])
        XCTAssertEqual(found.name, "Core AI")
    }

    func testACodeIsAWholeNumber() async {
        let told = await refusal(nil, Fake(ids: [5: [1, 2.5]]))
        XCTAssertTrue(told.contains("Core ML: the model gave 2.5 in id, expected whole numbers"), told)
    }

    private func packages(_ json: String, withCoreAI: Bool) throws -> [String] {
        let text = #"""
            {"format": 2, "kind": "text-encoder", "name": "TextEncoder", "package": "TextEncoder.mlpackage",
             "inputs": [], "outputs": [], \#(json) "licence": "MIT"}
            """#
        return try Manifest.read(data: Data(text.utf8)).packages(withCoreAI: withCoreAI).map(\.file)
    }

    func testCoreAIComesFirstWhereItIsThere() throws {
        let both = #"""
            "packages": [{"format": "coreml", "package": "TextEncoder.mlpackage", "bytes": 9},
                         {"format": "coreai", "package": "TextEncoder.aimodel", "inputs": [
                          {"name": "token_ids", "shape": [1, 16], "dtype": "uint32"}]},
                         {"format": "later", "package": "TextEncoder.later"}],
            """#
        XCTAssertEqual(try packages(both, withCoreAI: true), ["TextEncoder.aimodel", "TextEncoder.mlpackage"])
        XCTAssertEqual(try packages(both, withCoreAI: false), ["TextEncoder.mlpackage"])
    }

    func testAnOlderManifestHasOnePackage() throws {
        for there in [true, false] {
            XCTAssertEqual(try packages("", withCoreAI: there), ["TextEncoder.mlpackage"])
        }
    }

    func testAPackageForCoreAIAloneNeedsIt() throws {
        let alone = #""packages": [{"format": "coreai", "package": "TextEncoder.aimodel"}],"#
        XCTAssertEqual(try packages(alone, withCoreAI: true), ["TextEncoder.aimodel"])
        XCTAssertThrowsError(try packages(alone, withCoreAI: false)) {
            let told = "the bundle has TextEncoder.aimodel alone, which needs Core AI of iOS or macOS 27"
            XCTAssertEqual($0.localizedDescription, told)
        }
    }
}
