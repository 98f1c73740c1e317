#if canImport(CoreML)
import CoreML
import Foundation

/// A bundle's model: tokens in, an ID and a vector out. Where the bundle has a dictionary, the ID is searched there.
///
/// Core ML predicts for several tasks at a time, though its types don't declare it.
struct TextModel: @unchecked Sendable {
    struct Output: Sendable {
        let id: [Int]
        let vector: [Float]
        let detail: [Int]?
    }

    private let model: MLModel
    private let book: CodeBook?

    /// Opens the bundle's compiled model, else its package, else the app's own compiled model of that name.
    ///
    /// A package is compiled the first time and kept in `folder`, the Caches folder where none is given.
    init(
        manifest: Manifest, bundle: URL, computeUnits: MLComputeUnits, folder: URL?
    ) async throws {
        let book = try manifest.dictionary.map { try CodeBook(bundle: bundle, entries: $0) }
        @Sendable func load(_ url: URL) async throws -> TextModel {
            let configuration = MLModelConfiguration()
            configuration.computeUnits = computeUnits
            return TextModel(model: try await MLModel.load(contentsOf: url, configuration: configuration), book: book)
        }
        let files = FileManager.default
        let package = bundle.appendingPathComponent(manifest.packageFile)
        let name = package.deletingPathExtension().lastPathComponent
        let compiled = bundle.appendingPathComponent(name + ".mlmodelc")
        if files.fileExists(atPath: compiled.path) {
            self = try await load(compiled)
        } else if files.fileExists(atPath: package.path) {
            guard let key = manifest.packageKey() else {
                self = try await load(MLModel.compileModel(at: package))
                return
            }
            let kept = KeptFolder(in: try folder ?? TextModel.caches(), name: name, key: key, type: "mlmodelc")
            self = try await kept.open(load) { try await MLModel.compileModel(at: package) }
        } else if let bundled = Bundle.main.url(forResource: name, withExtension: "mlmodelc") {
            self = try await load(bundled)
        } else {
            throw WOTDError("\(bundle.path) has neither \(manifest.packageFile) nor \(name).mlmodelc")
        }
    }

    private static func caches() throws -> URL {
        try FileManager.default.url(for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
            .appendingPathComponent("WOTDKit", isDirectory: true)
    }

    private init(model: MLModel, book: CodeBook?) {
        self.model = model
        self.book = book
    }

    /// What the model makes of the tokens; throws `WOTDError` where an output is missing.
    func predict(_ tokens: Tokens) async throws -> Output {
        let input = try MLDictionaryFeatureProvider(dictionary: [
            "token_ids": TextModel.row(tokens.tokens),
            "mask": TextModel.row(tokens.mask),
        ])
        let output = try await model.prediction(from: input)
        let needed = book == nil ? "id" : "probabilities"
        guard let told = output.featureValue(for: needed)?.multiArrayValue,
            let vector = output.featureValue(for: "vector")?.multiArrayValue.map(TextModel.floats)
        else {
            let names = output.featureNames.sorted().joined(separator: ", ")
            let expected = "expected \(needed) and vector; export the bundle again"
            throw WOTDError("the model gave the outputs \(names), \(expected)")
        }
        let id = try book?.search(vector, probabilities: TextModel.floats(told)).numbers
        return Output(
            id: id ?? TextModel.integers(told),
            vector: vector,
            detail: output.featureValue(for: "detail")?.multiArrayValue.map(TextModel.integers)
        )
    }

    private static func row(_ numbers: [Int32]) -> MLFeatureValue {
        MLFeatureValue(shapedArray: MLShapedArray(scalars: numbers, shape: [1, numbers.count]))
    }

    private static func floats(_ array: MLMultiArray) -> [Float] {
        MLShapedArray<Float>(converting: array).scalars
    }

    private static func integers(_ array: MLMultiArray) -> [Int] {
        MLShapedArray<Int32>(converting: array).scalars.map(Int.init)
    }
}
#endif
