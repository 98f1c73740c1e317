#if canImport(CoreML)
import CoreML
import Foundation

/// A box's text encoder: text in, semantic ID out.
///
///     let encoder = try await SemanticEncoder(url: box)
///     let id = try await encoder.encode("petrichor")
///
/// Several tasks may use one encoder at the same time.
public final class SemanticEncoder: @unchecked Sendable {
    public let manifest: Manifest
    public let tokenizer: WordPieceTokenizer
    /// The box's words; nil where it lists none.
    public let index: WordIndex?
    private let model: MLModel
    private let maxLength: Int

    /// Opens a box folder. The first time, its model is compiled and kept in the Caches folder, which takes seconds.
    public init(url: URL, computeUnits: MLComputeUnits = .all) async throws {
        let manifest: Manifest = try Manifest.read(box: url)
        guard manifest.kind == "text-encoder", let description = manifest.tokenizer else {
            throw WOTDError("\(url.lastPathComponent) holds the kind \"\(manifest.kind)\", expected \"text-encoder\"")
        }
        let tokenizer = try WordPieceTokenizer(url: url.appendingPathComponent(description.file))
        var index: WordIndex? = nil
        if let words = manifest.words {
            index = try WordIndex(box: url, words: words)
        }
        let model: MLModel = try await SemanticEncoder.load(manifest: manifest, box: url, computeUnits: computeUnits)
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.index = index
        self.model = model
        self.maxLength = description.maxLength
    }

    /// The text's semantic ID: for a word of the box the one that it lists, where words that would share an ID have
    /// different ones; for any other text the model's.
    public func encode(_ text: String) async throws -> SemanticID {
        if let own = index?.id(of: text) {
            return own
        }
        let encoding: Encoding = try predict(text)
        return encoding.id
    }

    /// The model's ID for the text with its embedding, its finer codes if the model has them, and the time it took.
    public func encodeWhole(_ text: String) async throws -> Encoding {
        return try predict(text)
    }

    /// What each of an ID's codes is called.
    public func labels(_ id: SemanticID) -> [CodeLabel] {
        return manifest.labels(id)
    }

    /// The box's words nearest to a vector, the nearest first.
    public func nearest(to vector: [Float], count: Int) -> [Neighbour] {
        return index?.nearest(to: vector, count: count) ?? []
    }

    /// The box's words that have this ID.
    public func words(with id: SemanticID) -> [String] {
        return index?.words(with: id) ?? []
    }

    // Not async, so that this is Core ML's synchronous prediction.
    private func predict(_ text: String) throws -> Encoding {
        let began: TimeInterval = ProcessInfo.processInfo.systemUptime
        let tokens: Tokens = tokenizer.encode(text, maxLength: maxLength)
        let tokenArray: MLMultiArray = try SemanticEncoder.array(tokens.tokens)
        let maskArray: MLMultiArray = try SemanticEncoder.array(tokens.mask)
        let features: [String: Any] = [
            "token_ids": MLFeatureValue(multiArray: tokenArray),
            "mask": MLFeatureValue(multiArray: maskArray),
        ]
        let input = try MLDictionaryFeatureProvider(dictionary: features)
        let output: MLFeatureProvider = try model.prediction(from: input)
        guard let codes = SemanticEncoder.numbers(output, "id") else {
            throw WOTDError("the model gave no output \"id\"")
        }
        guard let values = SemanticEncoder.numbers(output, "vector") else {
            throw WOTDError("the model gave no output \"vector\"")
        }
        var detail: [Int]? = nil
        if let found = SemanticEncoder.numbers(output, "detail") {
            detail = found.map { $0.intValue }
        }
        let id = SemanticID(codes.map { $0.intValue })
        let vector: [Float] = values.map { $0.floatValue }
        let milliseconds: Double = (ProcessInfo.processInfo.systemUptime - began) * 1000
        return Encoding(id: id, vector: vector, detail: detail, milliseconds: milliseconds)
    }

    /// Numbers as a (1, L) int32 array.
    private static func array(_ numbers: [Int32]) throws -> MLMultiArray {
        let shape: [NSNumber] = [NSNumber(value: 1), NSNumber(value: numbers.count)]
        let array: MLMultiArray = try MLMultiArray(shape: shape, dataType: MLMultiArrayDataType.int32)
        for i in 0..<numbers.count {
            let position: [NSNumber] = [NSNumber(value: 0), NSNumber(value: i)]
            array[position] = NSNumber(value: numbers[i])
        }
        return array
    }

    /// The last axis of an output, whatever its data type; nil where there is no such output.
    private static func numbers(_ output: MLFeatureProvider, _ name: String) -> [NSNumber]? {
        guard let array = output.featureValue(for: name)?.multiArrayValue else {
            return nil
        }
        let shape: [Int] = array.shape.map { $0.intValue }
        guard let width = shape.last else {
            return nil
        }
        var position: [NSNumber] = Array(repeating: NSNumber(value: 0), count: shape.count)
        var numbers: [NSNumber] = []
        numbers.reserveCapacity(width)
        for i in 0..<width {
            position[shape.count - 1] = NSNumber(value: i)
            numbers.append(array[position])
        }
        return numbers
    }

    /// The box's compiled model, else its package compiled, else the app's own compiled model of that name.
    private static func load(manifest: Manifest, box: URL, computeUnits: MLComputeUnits) async throws -> MLModel {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = computeUnits
        let source: URL = box.appendingPathComponent(manifest.packageFile)
        let stem: String = source.deletingPathExtension().lastPathComponent
        let ready: URL = box.appendingPathComponent(stem + ".mlmodelc")
        if FileManager.default.fileExists(atPath: ready.path) {
            return try MLModel(contentsOf: ready, configuration: configuration)
        }
        if FileManager.default.fileExists(atPath: source.path) {
            return try await compiled(source, stem: stem, key: manifest.packageKey(), configuration: configuration)
        }
        if let bundled = Bundle.main.url(forResource: stem, withExtension: "mlmodelc") {
            return try MLModel(contentsOf: bundled, configuration: configuration)
        }
        throw WOTDError("\(box.path) has neither \(manifest.packageFile) nor \(stem).mlmodelc")
    }

    /// The compiled package from the Caches folder; it is compiled and kept there if it is not there yet.
    private static func compiled(
        _ source: URL, stem: String, key: String?, configuration: MLModelConfiguration
    ) async throws -> MLModel {
        guard let key = key else {
            let temporary: URL = try await MLModel.compileModel(at: source)
            return try MLModel(contentsOf: temporary, configuration: configuration)
        }
        let files: FileManager = FileManager.default
        let caches: URL = try files.url(for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let folder: URL = caches.appendingPathComponent("WOTDKit", isDirectory: true)
        let kept: URL = folder.appendingPathComponent("\(stem)-\(key).mlmodelc", isDirectory: true)
        if files.fileExists(atPath: kept.path) {
            if let model = try? MLModel(contentsOf: kept, configuration: configuration) {
                return model
            }
            // Made by an older system, or damaged.
            try? files.removeItem(at: kept)
        }
        let temporary: URL = try await MLModel.compileModel(at: source)
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        // First beside its place, which may be a copy to another volume; then one rename.
        let beside: URL = folder.appendingPathComponent(UUID().uuidString + ".mlmodelc", isDirectory: true)
        try files.moveItem(at: temporary, to: beside)
        do {
            try files.moveItem(at: beside, to: kept)
        } catch {
            // Another process was faster: its copy is as good.
            try? files.removeItem(at: beside)
            if !files.fileExists(atPath: kept.path) {
                throw error
            }
        }
        return try MLModel(contentsOf: kept, configuration: configuration)
    }
}
#endif
