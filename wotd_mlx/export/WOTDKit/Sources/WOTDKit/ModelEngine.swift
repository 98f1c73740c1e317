/// What computes a bundle's model, whichever framework that is: a text's tokens in, the outputs by their names out.
///
/// All numbers leave as floats: codes are far below 2²⁴, where those are exact.
protocol ModelEngine: Sendable {
    func predict(_ tokens: Tokens) async throws -> [String: [Float]]
}
