import Foundation

/// BERT's text cleaning, as the `tokenizers` library does it, scalar by scalar.
///
/// Categories come from `UnicodeTables`, so that a text has the same tokens whatever Unicode the system knows.
struct BertNormalizer: Sendable {
    let cleanText: Bool
    let handleChineseChars: Bool
    let stripAccents: Bool
    let lowercase: Bool

    func apply(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var scalars: [Unicode.Scalar] = text
        if cleanText {
            scalars = BertNormalizer.clean(scalars)
        }
        if handleChineseChars {
            scalars = BertNormalizer.separateChinese(scalars)
        }
        if stripAccents {
            scalars = BertNormalizer.withoutAccents(scalars)
        }
        if lowercase {
            scalars = BertNormalizer.lowercased(scalars)
        }
        return scalars
    }

    /// Unicode's White_Space.
    static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            return true
        default:
            return false
        }
    }

    static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        return UnicodeTables.contains(UnicodeTables.punctuation, scalar)
    }

    /// The blocks that BERT treats as Chinese; U+2B820 to U+2B91F are not among them.
    static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF:
            return true
        case 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF, 0x2F800...0x2FA1F:
            return true
        default:
            return false
        }
    }

    private static let space: Unicode.Scalar = " "

    private static func clean(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var out: [Unicode.Scalar] = []
        out.reserveCapacity(text.count)
        for scalar in text {
            if UnicodeTables.contains(UnicodeTables.removed, scalar) {
                continue
            }
            out.append(isWhitespace(scalar) ? space : scalar)
        }
        return out
    }

    private static func separateChinese(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var out: [Unicode.Scalar] = []
        out.reserveCapacity(text.count)
        for scalar in text {
            if isChinese(scalar) {
                out.append(space)
                out.append(scalar)
                out.append(space)
            } else {
                out.append(scalar)
            }
        }
        return out
    }

    private static func withoutAccents(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        if text.allSatisfy({ $0.isASCII }) {
            return text
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: text)
        let decomposed: String = String(view).decomposedStringWithCanonicalMapping
        var out: [Unicode.Scalar] = []
        out.reserveCapacity(text.count)
        for scalar in decomposed.unicodeScalars {
            if !UnicodeTables.contains(UnicodeTables.nonspacingMarks, scalar) {
                out.append(scalar)
            }
        }
        return out
    }

    /// Each scalar by itself, so that a capital sigma at a word's end becomes σ.
    private static func lowercased(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var out: [Unicode.Scalar] = []
        out.reserveCapacity(text.count)
        for scalar in text {
            out.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
        }
        return out
    }
}
