// A stand-in for the parts of Apple's Core ML that WOTDKit uses, with the same signatures.

import Foundation

public enum MLMultiArrayDataType: Int, Sendable {
    case double = 65600
    case float32 = 65568
    case float16 = 65552
    case int32 = 131104
}

open class MLMultiArray: NSObject {
    public let shape: [NSNumber]
    public let dataType: MLMultiArrayDataType
    let numbers: [Double]

    init(numbers: [Double], shape: [Int], dataType: MLMultiArrayDataType) {
        precondition(shape.reduce(1, *) == numbers.count)
        self.numbers = numbers
        self.shape = shape.map { NSNumber(value: $0) }
        self.dataType = dataType
    }

    public convenience init<Scalar: MLShapedArrayScalar>(_ shapedArray: MLShapedArray<Scalar>) {
        let numbers = shapedArray.scalars.map(\.number)
        self.init(numbers: numbers, shape: shapedArray.shape, dataType: Scalar.multiArrayDataType)
    }
}

public protocol MLShapedArrayScalar {
    static var multiArrayDataType: MLMultiArrayDataType { get }
    var number: Double { get }
    init(number: Double)
}

extension Int32: MLShapedArrayScalar {
    public static var multiArrayDataType: MLMultiArrayDataType { .int32 }
    public var number: Double { Double(self) }
    public init(number: Double) { self = Int32(number) }
}

extension Float: MLShapedArrayScalar {
    public static var multiArrayDataType: MLMultiArrayDataType { .float32 }
    public var number: Double { Double(self) }
    public init(number: Double) { self = Float(number) }
}

public struct MLShapedArray<Scalar: MLShapedArrayScalar> {
    public let shape: [Int]
    public let scalars: [Scalar]

    public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar {
        self.scalars = Array(scalars)
        self.shape = shape
        precondition(shape.reduce(1, *) == self.scalars.count)
    }

    public init(converting other: MLMultiArray) {
        self.init(scalars: other.numbers.map(Scalar.init(number:)), shape: other.shape.map(\.intValue))
    }
}

open class MLFeatureValue: NSObject {
    public let multiArrayValue: MLMultiArray?

    public init(multiArray value: MLMultiArray) {
        multiArrayValue = value
    }

    public convenience init<Scalar: MLShapedArrayScalar>(shapedArray: MLShapedArray<Scalar>) {
        self.init(multiArray: MLMultiArray(shapedArray))
    }
}

public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    private let values: [String: MLFeatureValue]

    public init(dictionary: [String: Any]) throws {
        values = try dictionary.mapValues { value in
            switch value {
            case let value as MLFeatureValue: return value
            case let array as MLMultiArray: return MLFeatureValue(multiArray: array)
            default: throw CocoaError(.featureUnsupported)
            }
        }
    }

    public var featureNames: Set<String> { Set(values.keys) }

    public func featureValue(for featureName: String) -> MLFeatureValue? { values[featureName] }
}
