// A stand-in for the parts of Apple's Core AI that WOTDKit uses, with the signatures that Apple documents.

import Foundation

public struct NDArray: Sendable {
    /// Views are not Sendable there, and don't outlive what they are taken of.
    public struct View<Element: BitwiseCopyable>: ~Copyable {
        let elements: [Element]
        let shape: [Int]

        public borrowing func withUnsafePointer<R, E: Error>(
            _ body: (UnsafePointer<Element>, Span<Int>, Span<Int>) throws(E) -> R
        ) throws(E) -> R {
            // Every other number is another's: rows may have gaps.
            let apart = elements.flatMap { [$0, $0] }
            let strides = [2 * elements.count, 2]
            let start = UnsafeMutablePointer<Element>.allocate(capacity: apart.count)
            defer { start.deallocate() }
            start.initialize(from: apart, count: apart.count)
            return try body(UnsafePointer(start), shape.span, strides.span)
        }
    }

    public let shape: [Int]
    let scalars: [any BitwiseCopyable & Sendable]

    public init<Scalar: BitwiseCopyable & Sendable>(scalars: some Sequence<Scalar>, shape: [Int]) {
        self.scalars = Array(scalars)
        self.shape = shape
        precondition(shape.reduce(1, *) == self.scalars.count)
    }

    public func view<T: BitwiseCopyable>(as type: T.Type = T.self) -> View<T> {
        View(
            elements: scalars.map { scalar in
                guard let number = scalar as? T else { fatalError("the array holds no \(T.self)") }
                return number
            }, shape: shape)
    }
}
