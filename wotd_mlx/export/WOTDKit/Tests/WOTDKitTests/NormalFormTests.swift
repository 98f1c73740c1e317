import Foundation
import XCTest

@testable import WOTDKit

final class NormalFormTests: XCTestCase {
    func testBlanksAndCases() {
        XCTAssertEqual(NormalForm.of(" \u{A0}Two\u{2003} \u{1C}Words\u{FEFF} "), "two words")
        XCTAssertEqual(NormalForm.of("a \u{200B} b"), "a b")
        XCTAssertEqual(NormalForm.of("STRASSE"), NormalForm.of("straße"))
        XCTAssertEqual(NormalForm.of(" \u{200B} \n"), "")
    }

    func testALongWordGoesOn() {
        for count in [999, 1000, 1001, 2000, 2001] {
            let word = String(repeating: "X", count: count)
            let wanted = "a " + word.lowercased() + " b"
            XCTAssertEqual(NormalForm.of("A " + word + "\u{200B} B "), wanted)
        }
    }

    func testFormsAreThoseOfPython() throws {
        let file = try TestBundle.folder().appendingPathComponent("normal_forms.json")
        guard let data = try? Data(contentsOf: file) else {
            throw XCTSkip("the bundle holds no normal_forms.json: the project's own tests write it")
        }
        for pair in try JSONDecoder().decode([[String]].self, from: data) {
            XCTAssertEqual(Array(NormalForm(pair[0])), Array(pair[1].unicodeScalars), pair[0].debugDescription)
        }
    }
}
