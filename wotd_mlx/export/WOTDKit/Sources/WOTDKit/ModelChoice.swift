/// The first of a bundle's packages that gives on this device what it gave where it was exported.
struct ModelChoice: Sendable {
    /// A package, and how it is opened.
    struct Candidate: Sendable {
        /// The framework that computes it.
        let name: String
        let open: @Sendable () async throws -> any ModelEngine
    }

    /// How near a vector must be to the exporter's; it chose cases in which half precision stays above 0.995.
    static let cosine: Float = 0.99

    let model: TextModel
    let name: String
    /// Why the packages before it weren't taken, a sentence each.
    let refused: [String]

    /// Opens the candidates one after the other until one passes all checks.
    ///
    /// They are made each time, three predictions: an update of the system may change what a package gives. Throws
    /// `WOTDError` with what differs where none passes.
    static func first(
        of candidates: [Candidate], book: CodeBook?, checks: [Manifest.Check]
    ) async throws -> ModelChoice {
        var refused: [String] = []
        for candidate in candidates {
            do {
                let model = TextModel(engine: try await candidate.open(), book: book)
                guard let fault = try await fault(of: model, checks: checks) else {
                    return ModelChoice(model: model, name: candidate.name, refused: refused)
                }
                refused.append("\(candidate.name): \(fault)")
            } catch {
                // Nothing to fall back on: the framework's own error tells most.
                if error is CancellationError || candidates.count == 1 { throw error }
                refused.append("\(candidate.name): \(error.localizedDescription)")
            }
        }
        throw WOTDError("no package gives here what it gave at export: \(refused.joined(separator: "; "))")
    }

    /// What differs first, nil where nothing does.
    private static func fault(of model: TextModel, checks: [Manifest.Check]) async throws -> String? {
        for check in checks {
            try Task.checkCancellation()
            let found = try await model.predict(Tokens(tokens: check.tokens, mask: check.mask))
            let text = check.text.debugDescription
            if found.id != check.id {
                return "\(text) has the ID \(SemanticID(found.id)), expected \(SemanticID(check.id))"
            }
            let cosine = cosine(found.vector, check.vector)
            // Not a number is no cosine either.
            if !(cosine >= ModelChoice.cosine) {
                let expected = "expected \(ModelChoice.cosine)"
                return "the vector of \(text) has a cosine of \(cosine) with the exporter's, \(expected)"
            }
        }
        return nil
    }

    private static func cosine(_ a: [Float], _ b: [Float]) -> Float {
        guard a.count == b.count else { return .nan }
        func product(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
    }
}
