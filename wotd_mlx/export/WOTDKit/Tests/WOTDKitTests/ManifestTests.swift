import Foundation
import XCTest

@testable import WOTDKit

final class ManifestTests: XCTestCase {
    private static let text = #"""
        {"format": 2, "kind": "text-encoder", "name": "TextEncoder", "package": "TextEncoder.mlpackage",
         "precision": "float16", "minimum_deployment_target": "iOS17", "added later": [1, {"a": null}],
         "inputs": [{"name": "token_ids", "shape": [1, 16], "dtype": "int32"},
                    {"name": "mask", "shape": [1, 16], "dtype": "int32"}],
         "outputs": [{"name": "id", "shape": [1, 2], "dtype": "int32", "range": [0, 7]}],
         "tokenizer": {"max_length": 16, "unknown_id": 1, "start_id": 2, "end_id": 3, "pad_id": 0, "prefix": "##",
                       "longest_word": 100, "clean_text": true, "handle_chinese_chars": true, "strip_accents": true,
                       "lowercase": true, "added": [{"id": 3, "text": "[SEP]", "normalized": false}]},
         "codes": {"kind": "hvq", "levels": [2, 2], "coordinates": [
            {"name": "style", "codes": [
                {"code": 1, "name": "plain: dog\u00b7cat", "label": null, "words": ["dog", "cat"]},
                {"code": 0, "name": "classical: locket\u00b7bailiff", "label": "classical", "words": []}]}]},
         "words": {"file": "words.wotd", "count": 9, "vectors": 2, "dimensions": 3},
         "embedding": {"id": "some/model", "dimensions": 384, "licence": "Apache-2.0"},
         "licence": "MIT", "verification": {"any": {"thing": [true, 1.5, "x"]}},
         "sha256": {"tokenizer.json": "00", "TextEncoder.mlpackage/Manifest.json": "ab"}}
        """#

    private func manifest(replacing old: String = "", with new: String = "") throws -> Manifest {
        let text = old.isEmpty ? ManifestTests.text : ManifestTests.text.replacingOccurrences(of: old, with: new)
        return try Manifest.read(data: Data(text.utf8))
    }

    func testReadsWhatItKnowsAndIgnoresTheRest() throws {
        let manifest = try self.manifest()
        XCTAssertEqual(manifest.kind, "text-encoder")
        XCTAssertEqual(manifest.inputs.map(\.name), ["token_ids", "mask"])
        XCTAssertEqual(manifest.tokenizer?.maxLength, 16)
        XCTAssertEqual(manifest.tokenizer?.added.map(\.text), ["[SEP]"])
        XCTAssertEqual(manifest.words?.count, 9)
        XCTAssertEqual(manifest.codes?.levels, [2, 2])
    }

    func testLabelsAreLabelThenNameThenNumber() throws {
        let manifest = try self.manifest()
        let labelled = manifest.labels(SemanticID([0, 1]))
        XCTAssertEqual(labelled.map(\.value), ["classical", "1"])
        XCTAssertEqual(labelled.map(\.name), ["style", "coordinate 2"])
        XCTAssertEqual(manifest.labels(SemanticID([1, 0])).first?.value, "plain: dog\u{B7}cat")
        XCTAssertEqual(manifest.labels(SemanticID([7, 0])).first?.value, "7")
    }

    func testAnotherFormatIsRefused() {
        // Another format may lack or mean anything else.
        XCTAssertThrowsError(try Manifest.read(data: Data("{\"format\": 1, \"words\": {\"texts\": []}}".utf8))) {
            let told = $0.localizedDescription
            XCTAssertTrue(told.contains("has format 1, expected 2; export the bundle again"), told)
        }
        XCTAssertThrowsError(try Manifest.read(data: Data("[]".utf8)))
        XCTAssertThrowsError(try Manifest.read(bundle: URL(fileURLWithPath: "/nowhere/at/all")))
    }

    func testAnEncoderOfVectorsHasNoTokenizer() throws {
        XCTAssertNil(try manifest(replacing: "\"tokenizer\":", with: "\"none\":").tokenizer)
    }

    func testThePackageKeyFollowsThePackagesFilesOnly() throws {
        let key = try manifest().packageKey()
        XCTAssertNotNil(key)
        XCTAssertEqual(key, try manifest(replacing: "\"00\"", with: "\"01\"").packageKey())
        XCTAssertNotEqual(key, try manifest(replacing: "\"ab\"", with: "\"cd\"").packageKey())
        XCTAssertNil(try manifest(replacing: "TextEncoder.mlpackage/", with: "Other/").packageKey())
    }

    func testAnIDIsAnArrayInJSONAndInPrint() throws {
        let id = SemanticID([2, 1, 3, 0])
        XCTAssertEqual(id.description, "[2,1,3,0]")
        XCTAssertEqual(String(decoding: try JSONEncoder().encode(id), as: UTF8.self), "[2,1,3,0]")
        XCTAssertEqual(try JSONDecoder().decode(SemanticID.self, from: Data("[2, 1, 3, 0]".utf8)), id)
    }
}
