import Foundation
import XCTest

@testable import WOTDKit

/// A folder that holds one file, whose text is what opening it gives.
final class KeptFolderTests: XCTestCase {
    private actor Maker {
        private(set) var made = 0
        private let root: URL

        init(in root: URL) {
            self.root = root
        }

        func make() async throws -> URL {
            made += 1
            let folder = root.appendingPathComponent(UUID().uuidString)
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data("number \(made)".utf8).write(to: folder.appendingPathComponent("text"))
            // The others come meanwhile.
            try await Task.sleep(for: .milliseconds(50))
            return folder
        }
    }

    private let root = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    private var kept: KeptFolder { version("a1") }

    private func version(_ key: String, of name: String = "thing") -> KeptFolder {
        KeptFolder(in: root.appendingPathComponent("kept"), name: name, key: key, type: "made")
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent("kept").path).sorted()
    }

    override func tearDown() {
        try? FileManager.default.removeItem(at: root)
    }

    private static func open(_ url: URL) async throws -> String {
        String(decoding: try Data(contentsOf: url.appendingPathComponent("text")), as: UTF8.self)
    }

    func testIsMadeOnce() async throws {
        let maker = Maker(in: root)
        for _ in 0..<2 {
            let text = try await kept.open(KeptFolderTests.open) { try await maker.make() }
            XCTAssertEqual(text, "number 1")
        }
        XCTAssertEqual(try names(), ["thing-a1.made", "thing.lock"])
    }

    func testAnOlderVersionIsRemovedAndNothingElse() async throws {
        let maker = Maker(in: root)
        let folder = root.appendingPathComponent("kept")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let older = ["thing-0f.made.new", "thing-0f.made.lock", "thing-0f.made"]
        let others = ["thing-more-0f.made", "thing-0f.other", "thing.made", "another-0f.made", "thing-xyz.made"]
        for name in older + others {
            try Data().write(to: folder.appendingPathComponent(name))
        }
        for key in ["b1", "b2"] {
            _ = try await version(key).open(KeptFolderTests.open) { try await maker.make() }
        }
        XCTAssertEqual(try names(), (others + ["thing-b2.made", "thing.lock"]).sorted())
    }

    func testWhatCannotBeOpenedIsMadeAgain() async throws {
        let maker = Maker(in: root)
        for number in 1...2 {
            let text = try await kept.open(KeptFolderTests.open) { try await maker.make() }
            XCTAssertEqual(text, "number \(number)")
            try FileManager.default.removeItem(at: kept.url.appendingPathComponent("text"))
        }
    }

    func testManyAtOnceMakeOne() async throws {
        let maker = Maker(in: root)
        let kept = kept
        let texts = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 {
                group.addTask { try await kept.open(KeptFolderTests.open) { try await maker.make() } }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        XCTAssertEqual(texts, ["number 1"])
        let made = await maker.made
        XCTAssertEqual(made, 1)
    }

    func testAFailureIsPassedOnAndFreesTheLock() async throws {
        let maker = Maker(in: root)
        do {
            _ = try await kept.open(KeptFolderTests.open) { throw WOTDError("no room") }
            XCTFail("nothing was thrown")
        } catch {
            XCTAssertEqual(error as? WOTDError, WOTDError("no room"))
        }
        let text = try await kept.open(KeptFolderTests.open) { try await maker.make() }
        XCTAssertEqual(text, "number 1")
    }

    func testWhoWaitsMayBeCancelled() async throws {
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        let lock = root.appendingPathComponent("lock")
        let outcome = try await FileLock.holding(lock) {
            let waiting = Task { try await FileLock.holding(lock) { "entered" } }
            waiting.cancel()
            return await waiting.result
        }
        XCTAssertThrowsError(try outcome.get()) { XCTAssertTrue($0 is CancellationError) }
    }
}
