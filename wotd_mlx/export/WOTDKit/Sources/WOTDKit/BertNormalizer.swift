import Foundation

/// BERT's text cleaning, as the `tokenizers` library does it.
///
/// Categories come from `UnicodeTables`, so that a text has the same tokens whatever Unicode the system knows.
struct BertNormalizer: Sendable {
    let cleanText: Bool
    let handleChineseChars: Bool
    let stripAccents: Bool
    let lowercase: Bool
    /// As many marks in a row are put in order: a word of more is unknown in any order.
    let longestWord: Int

    func apply(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
        IteratorSequence(NormalizedUnits(text.lazy.map(Unit.scalar).makeIterator(), rules: self)).compactMap {
            if case .scalar(let scalar) = $0 { scalar } else { nil }
        }
    }

    /// Unicode's White_Space.
    static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        UnicodeTables.contains(UnicodeTables.punctuation, scalar)
    }

    /// The blocks that BERT treats as Chinese; U+2B820 to U+2B91F are not among them.
    static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF: true
        case 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF, 0x2F800...0x2FA1F: true
        default: false
        }
    }
}

/// Units with their scalars cleaned, one after the other: never more of the text is held than a word's marks.
///
/// A whole text is not handed to Foundation, whose canonical decomposition of a long one takes a time that grows with
/// its square on Linux.
struct NormalizedUnits<Base: IteratorProtocol>: IteratorProtocol where Base.Element == Unit {
    private let rules: BertNormalizer
    private var base: Base
    /// Marks until it is known that none of a lower class follows.
    private var marks: [Unicode.Scalar] = []
    private var ready: [Unit] = []
    /// Foundation takes a microsecond for each.
    private var decompositions: [Unicode.Scalar: String.UnicodeScalarView] = [:]

    init(_ base: Base, rules: BertNormalizer) {
        self.base = base
        self.rules = rules
    }

    mutating func next() -> Unit? {
        while ready.isEmpty {
            switch base.next() {
            case .scalar(let scalar): clean(scalar)
            case .token(let id):
                releaseMarks()
                ready.append(.token(id))
            case nil:
                releaseMarks()
                if ready.isEmpty { return nil }
            }
        }
        return ready.removeFirst()
    }

    private mutating func clean(_ scalar: Unicode.Scalar) {
        if rules.cleanText, UnicodeTables.contains(UnicodeTables.removed, scalar) {
            return
        }
        if rules.cleanText, BertNormalizer.isWhitespace(scalar) {
            decompose(" ")
        } else if rules.handleChineseChars, BertNormalizer.isChinese(scalar) {
            decompose(" ")
            decompose(scalar)
            decompose(" ")
        } else {
            decompose(scalar)
        }
    }

    private mutating func decompose(_ scalar: Unicode.Scalar) {
        if !rules.stripAccents {
            lower(scalar)
        } else if UnicodeTables.contains(UnicodeTables.decomposed, scalar) {
            for part in parts(of: scalar) {
                order(part)
            }
        } else {
            order(scalar)
        }
    }

    private mutating func parts(of scalar: Unicode.Scalar) -> String.UnicodeScalarView {
        if let parts = decompositions[scalar] {
            return parts
        }
        let parts = String(Character(scalar)).decomposedStringWithCanonicalMapping.unicodeScalars
        decompositions[scalar] = parts
        return parts
    }

    /// Canonical order, accents dropped: marks go behind those of their class or a lower one.
    private mutating func order(_ scalar: Unicode.Scalar) {
        if UnicodeTables.contains(UnicodeTables.nonspacingMarks, scalar) {
            if scalar.properties.canonicalCombiningClass == .notReordered {
                releaseMarks()
            }
        } else if marks.count < rules.longestWord, UnicodeTables.contains(UnicodeTables.reordered, scalar) {
            let rank = scalar.properties.canonicalCombiningClass
            let before = marks.lastIndex { $0.properties.canonicalCombiningClass <= rank }
            marks.insert(scalar, at: before.map { $0 + 1 } ?? 0)
        } else {
            releaseMarks()
            lower(scalar)
        }
    }

    private mutating func releaseMarks() {
        for mark in marks {
            lower(mark)
        }
        marks.removeAll(keepingCapacity: true)
    }

    /// Each scalar by itself, so that a capital sigma at a word's end becomes σ.
    private mutating func lower(_ scalar: Unicode.Scalar) {
        if !rules.lowercase {
            ready.append(.scalar(scalar))
            return
        }
        for part in scalar.properties.lowercaseMapping.unicodeScalars {
            ready.append(.scalar(part))
        }
    }
}
