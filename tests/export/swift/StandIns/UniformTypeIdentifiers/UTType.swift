// A stand-in for the part of Apple's UniformTypeIdentifiers that the sample uses.

public struct UTType: Hashable, Sendable {
    public static let folder = UTType(identifier: "public.folder")

    public let identifier: String
}
