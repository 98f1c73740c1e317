import Foundation

/// What went wrong, in words: which file, what was found and what was expected.
public struct WOTDError: Error, LocalizedError, CustomStringConvertible, Hashable, Sendable {
    public let message: String

    public init(_ message: String) {
        self.message = message
    }

    public var description: String {
        message
    }

    public var errorDescription: String? {
        message
    }
}
