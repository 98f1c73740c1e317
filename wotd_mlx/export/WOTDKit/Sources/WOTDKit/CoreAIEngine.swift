#if canImport(CoreAI)
import CoreAI
import Foundation

/// A bundle's package for Core AI. Written after Apple's public documentation of the framework, and not yet compiled
/// against its SDK nor measured on Apple hardware.
@available(iOS 27, macOS 27, tvOS 27, watchOS 27, visionOS 27, *)
struct CoreAIEngine: ModelEngine {
    private let function: InferenceFunction
    private let inputs: [Manifest.Port]
    private let outputs: [Manifest.Port]

    /// Opens the bundle's package, compiled ahead of time or not, else the app's own of that name. The system keeps what
    /// it makes of it for this device.
    init(_ package: Manifest.Package, bundle: URL) async throws {
        let file = bundle.appendingPathComponent(package.file)
        let name = file.deletingPathExtension().lastPathComponent
        let beside = ["aimodelc", "aimodel"].map { bundle.appendingPathComponent("\(name).\($0)") }
        let own = ["aimodelc", "aimodel"].compactMap { Bundle.main.url(forResource: name, withExtension: $0) }
        guard let found = (beside + own).first(where: { FileManager.default.fileExists(atPath: $0.path) }) else {
            throw WOTDError("\(bundle.path) has neither \(package.file) nor \(name).aimodelc")
        }
        let model = try await AIModel(contentsOf: found)
        guard let function = try model.loadFunction(named: "main") else {
            throw WOTDError("\(found.lastPathComponent) has no function main; export the bundle again")
        }
        self.function = function
        inputs = package.inputs ?? []
        outputs = package.outputs ?? []
    }

    func predict(_ tokens: Tokens) async throws -> [String: [Float]] {
        var arrays: [String: NDArray] = [:]
        for port in inputs {
            let row = port.name == "mask" ? tokens.mask : tokens.tokens
            arrays[port.name] = CoreAIEngine.array(row, dtype: port.dtype)
        }
        var made = try await function.run(inputs: arrays)
        var found: [String: [Float]] = [:]
        for port in outputs {
            guard let array = made.remove(port.name)?.ndArray else { continue }
            switch port.dtype {
            case "float32": found[port.name] = CoreAIEngine.row(array, of: Float.self) { $0 }
            case "int32": found[port.name] = CoreAIEngine.row(array, of: Int32.self) { Float($0) }
            case "uint32": found[port.name] = CoreAIEngine.row(array, of: UInt32.self) { Float($0) }
            default: throw WOTDError("the model's \(port.name) is of \(port.dtype); export the bundle again")
            }
        }
        return found
    }

    private static func array(_ row: [Int32], dtype: String) -> NDArray {
        let shape = [1, row.count]
        // Tokens are never below 0.
        return dtype == "uint32"
            ? NDArray(scalars: row.map(UInt32.init), shape: shape) : NDArray(scalars: row, shape: shape)
    }

    /// The last axis of an array of one row, whose numbers needn't lie side by side.
    private static func row<Number: BitwiseCopyable>(
        _ array: NDArray, of type: Number.Type, _ float: (Number) -> Float
    ) -> [Float] {
        array.view(as: type).withUnsafePointer { start, shape, strides in
            let last = shape.count - 1
            return (0..<shape[last]).map { float(start[$0 * strides[last]]) }
        }
    }
}
#endif
