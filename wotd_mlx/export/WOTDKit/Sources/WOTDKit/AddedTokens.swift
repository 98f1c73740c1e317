/// What a text is made of on its way to pieces: its scalars, and the added tokens found among them.
enum Unit {
    case scalar(Unicode.Scalar)
    case token(Int32)
}

/// A token that is taken whole wherever it stands in a text, such as `[SEP]`.
struct AddedToken: Sendable {
    let scalars: [Unicode.Scalar]
    let id: Int32
}

/// Units with the added tokens among their scalars found: the leftmost first, the longest of those that start at one
/// place. It looks no further ahead than the longest token reaches.
struct FoundTokens<Base: IteratorProtocol>: IteratorProtocol where Base.Element == Unit {
    private var base: Base
    private let tokens: [AddedToken]
    private let reach: Int
    private var window: [Unicode.Scalar] = []
    /// A token of the base that stands after the window.
    private var waiting: Int32?

    init(_ base: Base, tokens: [AddedToken]) {
        self.base = base
        self.tokens = tokens.filter { !$0.scalars.isEmpty }.sorted { $0.scalars.count > $1.scalars.count }
        reach = max(1, self.tokens.first?.scalars.count ?? 1)
    }

    mutating func next() -> Unit? {
        while window.count < reach, waiting == nil, let unit = base.next() {
            switch unit {
            case .scalar(let scalar): window.append(scalar)
            case .token(let id): waiting = id
            }
        }
        guard !window.isEmpty else {
            defer { waiting = nil }
            return waiting.map(Unit.token)
        }
        if let token = tokens.first(where: { window.starts(with: $0.scalars) }) {
            window.removeFirst(token.scalars.count)
            return .token(token.id)
        }
        return .scalar(window.removeFirst())
    }
}
