import Foundation
import UniformTypeIdentifiers

extension View {
    public func padding(_ length: CGFloat? = nil) -> some View { self }

    public func frame(
        minWidth: CGFloat? = nil, idealWidth: CGFloat? = nil, maxWidth: CGFloat? = nil,
        minHeight: CGFloat? = nil, idealHeight: CGFloat? = nil, maxHeight: CGFloat? = nil,
        alignment: Alignment = .center
    ) -> some View { self }

    public func foregroundStyle<S: ShapeStyle>(_ style: S) -> some View { self }

    public func disabled(_ disabled: Bool) -> some View { self }

    public func onAppear(perform action: (() -> Void)? = nil) -> some View { self }

    public func onSubmit(of triggers: SubmitTriggers = .text, _ action: @escaping () -> Void) -> some View { self }

    public func fileImporter(
        isPresented: Binding<Bool>, allowedContentTypes: [UTType],
        onCompletion: @escaping (Result<URL, any Error>) -> Void
    ) -> some View { self }
}

extension URL {
    /// Foundation has it on Apple's systems only.
    public func startAccessingSecurityScopedResource() -> Bool { true }
}

public struct SubmitTriggers: Sendable {
    public static let text = SubmitTriggers()
}

@MainActor @preconcurrency public protocol Scene {
    associatedtype Body: Scene
    @SceneBuilder @MainActor @preconcurrency var body: Body { get }
}

extension Never: Scene {}

@resultBuilder public struct SceneBuilder {
    public static func buildBlock<Content: Scene>(_ content: Content) -> Content { content }
}

public struct WindowGroup<Content: View>: Scene {
    public init<S: StringProtocol>(_ title: S, @ViewBuilder content: () -> Content) {}

    public var body: Never { fatalError() }
}

@MainActor @preconcurrency public protocol App {
    associatedtype Body: Scene
    @SceneBuilder @MainActor @preconcurrency var body: Body { get }
    @MainActor @preconcurrency init()
}

extension App {
    @MainActor public static func main() {
        print("SwiftUI is a stand-in here: nothing is shown")
    }
}
