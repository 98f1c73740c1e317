import Foundation

/// One form of a word, however it was typed: what decides whether two texts are the same word.
enum NormalForm {
    /// Composed, case folded, one space where there were blanks, and without what nobody sees.
    static func of(_ text: String) -> String {
        var seen = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if isBlank(scalar) {
                seen.append(" ")
            } else if !isUnseen(scalar) {
                seen.append(scalar)
            }
        }
        // Folding undoes what composing joins, so it works on the parts (the Unicode Standard, D145).
        var folded = String.UnicodeScalarView()
        for scalar in String(seen).decomposedStringWithCanonicalMapping.unicodeScalars {
            append(scalar, foldedTo: &folded)
        }
        return String(folded).precomposedStringWithCanonicalMapping.split(separator: " ").joined(separator: " ")
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
        case .format, .control: return true
        default: return false
        }
    }
}
