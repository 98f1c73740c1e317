import Foundation
import XCTest

@testable import WOTDKit

final class KnownWordsTests: XCTestCase {
    func testAWordHasItsIDHoweverItIsTyped() throws {
        let known = try KnownWords("visage\t7,0,2\ncafé au lait\t1,2,3\nstrasse\t4,4,4\n")
        XCTAssertEqual(known.count, 3)
        for typed in ["visage", "Visage", " VISAGE\n", "\u{FEFF}visage", "vis\u{200B}age", "visa\u{AD}ge"] {
            XCTAssertEqual(known.id(of: typed), SemanticID([7, 0, 2]), typed.debugDescription)
        }
        for typed in ["Cafe\u{301}  au\u{A0}lait", "CAFÉ AU\tLAIT"] {
            XCTAssertEqual(known.id(of: typed), SemanticID([1, 2, 3]), typed.debugDescription)
        }
        XCTAssertEqual(known.id(of: "Straße"), SemanticID([4, 4, 4]))
        XCTAssertNil(known.id(of: "visages"))
        XCTAssertNil(known.id(of: ""))
    }

    func testALineThatIsNoneIsNamed() {
        for table in ["visage", "visage\t", "\t1,2", "visage\t1,x", "a\t1\nvisage\t1\t2"] {
            XCTAssertThrowsError(try KnownWords(table), table) {
                XCTAssertTrue("\($0)".contains("expected word and numbers"), "\($0)")
            }
        }
    }

    func testFormsAreThoseOfPython() throws {
        let folder = try TestBundle.folder()
        let file = folder.appendingPathComponent("normal_forms.json")
        guard let data = try? Data(contentsOf: file) else {
            throw XCTSkip("the bundle holds no normal_forms.json: the project's own tests write it")
        }
        for pair in try JSONDecoder().decode([[String]].self, from: data) {
            XCTAssertEqual(NormalForm.of(pair[0]).unicodeScalars.map(\.value), pair[1].unicodeScalars.map(\.value))
        }
    }
}
