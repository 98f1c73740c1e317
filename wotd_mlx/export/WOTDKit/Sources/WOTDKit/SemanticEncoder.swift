#if canImport(CoreML)
import CoreML
import Foundation

/// A bundle's text encoder: text in, semantic ID out.
///
///     let encoder = try await SemanticEncoder(url: bundle)
///     let id = try await encoder.encode("petrichor")
///
/// Several tasks may use one encoder at the same time.
public actor SemanticEncoder {
    public nonisolated let manifest: Manifest
    public nonisolated let tokenizer: WordPieceTokenizer
    /// The words that the bundle knows.
    public nonisolated let words: WordTable
    /// Predictions that are under way together: each holds the model's buffers once more.
    private static let atOnce = 4
    /// What computes the model: "Core AI", on iOS and macOS 27 and where the bundle has a package for it, else "Core ML".
    public nonisolated let engine: String
    /// Why a package that would have come first isn't used, a sentence each: it can't be opened here, or gives other
    /// answers than where it was exported. Empty as long as all is well; worth a line in an app's log.
    public nonisolated let refused: [String]
    private let model: TextModel
    private let maxLength: Int

    /// Opens a bundle folder.
    ///
    /// A model that isn't compiled yet is compiled, which takes seconds, and kept for the next time: see `prepare`.
    public init(url: URL, computeUnits: MLComputeUnits = .all, keptIn folder: URL? = nil) async throws {
        manifest = try Manifest.read(bundle: url)
        guard manifest.kind == "text-encoder", let settings = manifest.tokenizer, let listed = manifest.words else {
            throw WOTDError("\(url.lastPathComponent) holds the kind \"\(manifest.kind)\", expected \"text-encoder\"")
        }
        words = try WordTable(bundle: url, words: listed)
        tokenizer = try WordPieceTokenizer(words: words, settings: settings)
        maxLength = settings.maxLength
        let choice = try await ModelChoice(
            manifest: manifest, bundle: url, computeUnits: computeUnits, folder: folder)
        engine = choice.name
        refused = choice.refused
        model = choice.model
    }

    /// Compiles a bundle's model now, where that isn't done yet, so that the first `init` needn't wait for it.
    ///
    /// It is kept in `folder`, for all processes that give the same one, such as an app group's for an app and its
    /// extensions; without one, in the Caches folder. A folder keeps one model: that of an older bundle is removed.
    public static func prepare(
        url: URL, computeUnits: MLComputeUnits = .all, keptIn folder: URL? = nil
    ) async throws {
        let manifest = try Manifest.read(bundle: url)
        _ = try await ModelChoice(manifest: manifest, bundle: url, computeUnits: computeUnits, folder: folder)
    }

    /// The text's semantic ID: for a word that the bundle knows, however it is typed, its own, which says what evidence
    /// says of it; for any other text the model's.
    public func encode(_ text: String) async throws -> SemanticID {
        if let id = words.id(of: text) {
            return id
        }
        return try await encodeWhole(text).id
    }

    /// The texts' semantic IDs, in their order, as `encode` gives them.
    ///
    /// Core ML has no batch that leaves its thread free: some predictions at a time keep the Neural Engine as busy, and
    /// a cancelled task stops between two of them.
    public func encode(_ texts: [String]) async throws -> [SemanticID] {
        try await withThrowingTaskGroup(of: (Int, SemanticID).self) { group in
            var ids = [SemanticID?](repeating: nil, count: texts.count)
            for (position, text) in texts.enumerated() {
                if position >= SemanticEncoder.atOnce, let (done, id) = try await group.next() {
                    ids[done] = id
                }
                group.addTask { (position, try await self.encode(text)) }
            }
            for try await (done, id) in group {
                ids[done] = id
            }
            return ids.compactMap { $0 }
        }
    }

    /// The model's ID for the text, however it is typed, with its embedding, its finer codes if the model has them, and the time it took.
    ///
    /// A cancelled task asks the model nothing and throws `CancellationError`.
    public func encodeWhole(_ text: String) async throws -> Encoding {
        let clock = ContinuousClock()
        let began = clock.now
        try Task.checkCancellation()
        let tokens = tokenizer.encode(NormalForm(text), maxLength: maxLength)
        try Task.checkCancellation()
        let output = try await model.predict(tokens)
        return Encoding(
            id: SemanticID(output.id),
            vector: output.vector,
            detail: output.detail,
            isTruncated: tokens.isTruncated,
            milliseconds: (clock.now - began) / .milliseconds(1)
        )
    }

    /// What each of an ID's codes is called.
    public nonisolated func labels(_ id: SemanticID) -> [CodeLabel] {
        manifest.labels(id)
    }

    /// The bundle's words nearest to a vector, the nearest first.
    public nonisolated func nearest(to vector: [Float], count: Int) -> [Neighbour] {
        words.nearest(to: vector, count: count)
    }

    /// The bundle's words that have this ID.
    public nonisolated func words(with id: SemanticID) -> [String] {
        words.words(with: id)
    }
}
#endif
