#if canImport(CoreML)
import CoreML
import Foundation

extension ModelChoice {
    /// Opens the package of a bundle that this system computes best and that passes the bundle's checks.
    init(manifest: Manifest, bundle: URL, computeUnits: MLComputeUnits, folder: URL?) async throws {
        let book = try manifest.dictionary.map { try CodeBook(bundle: bundle, entries: $0) }
        let candidates = try manifest.packages(withCoreAI: ModelChoice.hasCoreAI).map { package in
            Candidate(name: package.name) {
                #if canImport(CoreAI)
                if package.isCoreAI, #available(iOS 27, macOS 27, tvOS 27, watchOS 27, visionOS 27, *) {
                    return try await CoreAIEngine(package, bundle: bundle)
                }
                #endif
                return try await CoreMLEngine(
                    package: package.file, manifest: manifest, bundle: bundle, computeUnits: computeUnits,
                    folder: folder)
            }
        }
        self = try await ModelChoice.first(of: candidates, book: book, checks: manifest.checks ?? [])
    }

    private static var hasCoreAI: Bool {
        #if canImport(CoreAI)
        if #available(iOS 27, macOS 27, tvOS 27, watchOS 27, visionOS 27, *) {
            return true
        }
        #endif
        return false
    }
}
#endif
