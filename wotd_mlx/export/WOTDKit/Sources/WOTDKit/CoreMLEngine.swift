#if canImport(CoreML)
import CoreML
import Foundation

/// A bundle's package for Core ML.
///
/// Core ML predicts for several tasks at a time, though its types don't declare it.
struct CoreMLEngine: ModelEngine, @unchecked Sendable {
    private let model: MLModel

    /// Opens the bundle's compiled model, else its package, else the app's own compiled model of that name.
    ///
    /// A package is compiled the first time and kept in `folder`, the Caches folder where none is given.
    init(
        package file: String, manifest: Manifest, bundle: URL, computeUnits: MLComputeUnits, folder: URL?
    ) async throws {
        @Sendable func load(_ url: URL) async throws -> CoreMLEngine {
            let configuration = MLModelConfiguration()
            configuration.computeUnits = computeUnits
            return CoreMLEngine(model: try await MLModel.load(contentsOf: url, configuration: configuration))
        }
        let files = FileManager.default
        let package = bundle.appendingPathComponent(file)
        let name = package.deletingPathExtension().lastPathComponent
        let compiled = bundle.appendingPathComponent(name + ".mlmodelc")
        if files.fileExists(atPath: compiled.path) {
            self = try await load(compiled)
        } else if files.fileExists(atPath: package.path) {
            guard let key = manifest.packageKey() else {
                self = try await load(MLModel.compileModel(at: package))
                return
            }
            let kept = KeptFolder(in: try folder ?? CoreMLEngine.caches(), name: name, key: key, type: "mlmodelc")
            self = try await kept.open(load) { try await MLModel.compileModel(at: package) }
        } else if let bundled = Bundle.main.url(forResource: name, withExtension: "mlmodelc") {
            self = try await load(bundled)
        } else {
            throw WOTDError("\(bundle.path) has neither \(file) nor \(name).mlmodelc")
        }
    }

    private static func caches() throws -> URL {
        try FileManager.default.url(for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
            .appendingPathComponent("WOTDKit", isDirectory: true)
    }

    private init(model: MLModel) {
        self.model = model
    }

    func predict(_ tokens: Tokens) async throws -> [String: [Float]] {
        let input = try MLDictionaryFeatureProvider(dictionary: [
            "token_ids": CoreMLEngine.row(tokens.tokens),
            "mask": CoreMLEngine.row(tokens.mask),
        ])
        let output = try await model.prediction(from: input)
        return output.featureNames.reduce(into: [:]) { outputs, name in
            outputs[name] = output.featureValue(for: name)?.multiArrayValue.map {
                MLShapedArray<Float>(converting: $0).scalars
            }
        }
    }

    private static func row(_ numbers: [Int32]) -> MLFeatureValue {
        MLFeatureValue(shapedArray: MLShapedArray(scalars: numbers, shape: [1, numbers.count]))
    }
}
#endif
