import Foundation

public enum MLComputeUnits: Int, Sendable {
    case cpuOnly = 0
    case cpuAndGPU = 1
    case all = 2
    case cpuAndNeuralEngine = 3
}

open class MLModelConfiguration: NSObject {
    public var computeUnits = MLComputeUnits.all
}

open class MLPredictionOptions: NSObject {}

/// Gives for tokens what the bundle's fixtures have for them. As Apple's, it is not Sendable.
///
/// Each call adds its name as a line to the file in WOTD_CALLS, and each prediction, to that in WOTD_TOGETHER, how many
/// are under way with it.
open class MLModel: NSObject {
    private struct Fixtures: Decodable {
        struct Case: Decodable {
            let tokens: [Int32]
            let mask: [Int32]
            let id: [Int32]?
            let vector: [Float]?
            let probabilities: [Float]?
            let detail: [Int32]?
        }

        let cases: [Case]
    }

    private struct Failure: LocalizedError {
        let errorDescription: String?
    }

    private actor Busy {
        private var count = 0

        /// Stays as long as others need to come.
        func stay() async throws {
            count += 1
            MLModel.note("\(count)", in: "WOTD_TOGETHER")
            try await Task.sleep(for: .milliseconds(5))
            count -= 1
        }
    }

    private static let busy = Busy()
    private let cases: [[Int32]: Fixtures.Case]

    private init(fixtures: Fixtures) {
        cases = Dictionary(fixtures.cases.map { ($0.tokens + $0.mask, $0) }, uniquingKeysWith: { $1 })
    }

    public class func compileModel(at modelURL: URL) async throws -> URL {
        called("compile")
        let files = FileManager.default
        guard files.fileExists(atPath: modelURL.appendingPathComponent("Manifest.json").path) else {
            throw Failure(errorDescription: "\(modelURL.path) is no package")
        }
        // Long enough for another process to come meanwhile.
        try await Task.sleep(for: .milliseconds(300))
        let compiled = files.temporaryDirectory.appendingPathComponent(UUID().uuidString + ".mlmodelc")
        try files.createDirectory(at: compiled, withIntermediateDirectories: true)
        let fixtures = modelURL.deletingLastPathComponent().appendingPathComponent("fixtures.json")
        try files.copyItem(at: fixtures, to: compiled.appendingPathComponent("fixtures.json"))
        return compiled
    }

    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel {
        called("load")
        let data = try Data(contentsOf: url.appendingPathComponent("fixtures.json"))
        return MLModel(fixtures: try JSONDecoder().decode(Fixtures.self, from: data))
    }

    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider {
        throw Failure(errorDescription: "a prediction that blocks its thread")
    }

    public func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider {
        MLModel.called("predict")
        try await MLModel.busy.stay()
        let tokens = try MLModel.row("token_ids", of: input)
        let mask = try MLModel.row("mask", of: input)
        guard let found = cases[tokens + mask] else {
            throw Failure(errorDescription: "no fixture has the tokens \(tokens)")
        }
        var outputs: [String: MLFeatureValue] = [:]
        outputs["id"] = found.id.map(MLModel.value)
        outputs["vector"] = found.vector.map(MLModel.value)
        outputs["probabilities"] = found.probabilities.map(MLModel.value)
        outputs["detail"] = found.detail.map(MLModel.value)
        return try MLDictionaryFeatureProvider(dictionary: outputs)
    }

    private class func value<Scalar: MLShapedArrayScalar>(_ row: [Scalar]) -> MLFeatureValue {
        MLFeatureValue(shapedArray: MLShapedArray(scalars: row, shape: [1, row.count]))
    }

    private class func row(_ name: String, of input: any MLFeatureProvider) throws -> [Int32] {
        guard let array = input.featureValue(for: name)?.multiArrayValue, array.dataType == .int32,
            array.shape.count == 2, array.shape[0] == 1
        else {
            throw Failure(errorDescription: "\(name) is no (1, L) int32 array")
        }
        return MLShapedArray<Int32>(converting: array).scalars
    }

    private class func called(_ name: String) {
        note(name, in: "WOTD_CALLS")
    }

    private static func note(_ text: String, in variable: String) {
        guard let path = ProcessInfo.processInfo.environment[variable] else { return }
        let file = open(path, O_CREAT | O_WRONLY | O_APPEND, 0o644)
        defer { close(file) }
        let line = Array("\(text)\n".utf8)
        _ = write(file, line, line.count)
    }
}
