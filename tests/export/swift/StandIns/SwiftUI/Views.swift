// A stand-in for the parts of Apple's SwiftUI that the sample uses, with the same signatures: it compiles and shows
// nothing.

import Foundation
import UniformTypeIdentifiers

@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder @MainActor @preconcurrency var body: Body { get }
}

extension Never: View {
    public var body: Never { fatalError() }
}

/// A view without a body of its own.
public protocol Leaf: View where Body == Never {}

extension Leaf {
    public var body: Never { fatalError() }
}

public struct TupleView<Content>: Leaf {
    nonisolated init(_ content: Content) {}
}

public struct ConditionalContent<First: View, Second: View>: Leaf {
    nonisolated init(_ content: some View) {}
}

extension Optional: View where Wrapped: View {
    public var body: Never { fatalError() }
}

@resultBuilder public struct ViewBuilder {
    public static func buildBlock<Content: View>(_ content: Content) -> Content { content }
    public static func buildBlock<each Content: View>(
        _ content: repeat each Content
    ) -> TupleView<(repeat each Content)> {
        TupleView((repeat each content))
    }
    public static func buildExpression<Content: View>(_ content: Content) -> Content { content }
    public static func buildIf<Content: View>(_ content: Content?) -> Content? { content }
    public static func buildEither<First: View, Second: View>(first: First) -> ConditionalContent<First, Second> {
        ConditionalContent(first)
    }
    public static func buildEither<First: View, Second: View>(second: Second) -> ConditionalContent<First, Second> {
        ConditionalContent(second)
    }
}

@propertyWrapper public struct State<Value> {
    private let value: Value

    public init(wrappedValue value: Value) {
        self.value = value
    }

    public var wrappedValue: Value {
        get { value }
        nonmutating set {}
    }

    public var projectedValue: Binding<Value> { Binding() }
}

extension State: Sendable where Value: Sendable {}

public struct Binding<Value> {}

public struct HorizontalAlignment: Sendable {
    public static let leading = HorizontalAlignment()
}

public struct VerticalAlignment: Sendable {
    public static let center = VerticalAlignment()
}

public struct Alignment: Sendable {
    public static let center = Alignment()
}

public struct VStack<Content: View>: Leaf {
    public init(
        alignment: HorizontalAlignment = .leading, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content
    ) {}
}

public struct HStack<Content: View>: Leaf {
    public init(alignment: VerticalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content) {}
}

public struct ForEach<Data: RandomAccessCollection, ID: Hashable, Content: View>: Leaf {
    public init(
        _ data: Data, id: KeyPath<Data.Element, ID>, @ViewBuilder content: @escaping (Data.Element) -> Content
    ) {}
}

public struct Text: Leaf {
    public init<S: StringProtocol>(_ content: S) {}
    public func font(_ font: Font?) -> Text { self }
}

public struct TextField: Leaf {
    public init<S: StringProtocol>(_ title: S, text: Binding<String>) {}
}

public struct Button: Leaf {
    public init<S: StringProtocol>(_ title: S, action: @escaping @MainActor () -> Void) {}
}

public struct Spacer: Leaf {
    public init(minLength: CGFloat? = nil) {}
}

public struct Divider: Leaf {
    public init() {}
}

public struct ProgressView: Leaf {
    public init() {}
}

public struct Font: Hashable, Sendable {
    public static let largeTitle = Font()
}

public protocol ShapeStyle: Sendable {}

public struct Color: ShapeStyle, Hashable {
    public static let red = Color()
    public static let secondary = Color()
}

extension ShapeStyle where Self == Color {
    public static var red: Color { .red }
    public static var secondary: Color { .secondary }
}
