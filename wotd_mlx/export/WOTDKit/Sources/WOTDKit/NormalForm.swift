import Foundation

/// One form of a text, however it was typed: what decides whether two texts are the same word.
///
/// Composed, case folded, one space where there were blanks, and without what nobody sees; scalar by scalar, so that a
/// long text is read as far as its form is wanted.
struct NormalForm: Sequence, IteratorProtocol {
    /// Of a longer word this much is composed at a time. No tokenizer knows such a word, and Foundation's time to take
    /// a text apart grows with the square of its length on Linux.
    private static let longestPart = 1000
    private var rest: String.UnicodeScalarView.Iterator
    private var ready: ArraySlice<Unicode.Scalar> = []
    private var isWithinWord = false
    private var hasWord = false

    init(_ text: String) {
        rest = text.unicodeScalars.makeIterator()
    }

    static func of(_ text: String) -> String {
        String(String.UnicodeScalarView(NormalForm(text)))
    }

    mutating func next() -> Unicode.Scalar? {
        if ready.isEmpty { readPart() }
        return ready.popFirst()
    }

    /// Makes the next word ready, or a part of a long one.
    private mutating func readPart() {
        var part = String.UnicodeScalarView()
        var count = 0
        let goesOn = isWithinWord
        isWithinWord = false
        while let scalar = rest.next() {
            if NormalForm.isBlank(scalar) {
                if count > 0 || goesOn { break }
            } else if !NormalForm.isUnseen(scalar) {
                part.append(scalar)
                count += 1
                if count == NormalForm.longestPart {
                    isWithinWord = true
                    break
                }
            }
        }
        guard count > 0 else {
            if goesOn { readPart() }
            return
        }
        ready = ArraySlice((hasWord && !goesOn ? " " : "").unicodeScalars) + NormalForm.folded(part)
        hasWord = true
    }

    private static func folded(_ part: String.UnicodeScalarView) -> String.UnicodeScalarView {
        if part.allSatisfy(\.isASCII) {
            return String(part).lowercased().unicodeScalars
        }
        // Folding undoes what composing joins, so it works on the parts (the Unicode Standard, D145).
        var folded = String.UnicodeScalarView()
        for scalar in String(part).decomposedStringWithCanonicalMapping.unicodeScalars {
            append(scalar, foldedTo: &folded)
        }
        return String(folded).precomposedStringWithCanonicalMapping.unicodeScalars
    }

    private static func append(_ scalar: Unicode.Scalar, foldedTo folded: inout String.UnicodeScalarView) {
        guard scalar.properties.changesWhenCaseFolded else {
            folded.append(scalar)
            return
        }
        // Down, up and down again: of small letters capitals make one what folding makes one, ß and ss, σ and ς.
        for lower in scalar.properties.lowercaseMapping.unicodeScalars {
            for upper in lower.properties.uppercaseMapping.unicodeScalars {
                folded.append(contentsOf: upper.properties.lowercaseMapping.unicodeScalars)
            }
        }
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        // The separators of files, groups, records and units count too.
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    private static func isUnseen(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .format, .control: true
        default: false
        }
    }
}
