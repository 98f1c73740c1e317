/// A bundle's model: tokens in, an ID and a vector out. Where the bundle has a dictionary, the ID is searched there.
struct TextModel: Sendable {
    struct Output: Sendable {
        let id: [Int]
        let vector: [Float]
        let detail: [Int]?
    }

    let engine: any ModelEngine
    let book: CodeBook?

    /// What the model makes of the tokens; throws `WOTDError` where an output is missing.
    func predict(_ tokens: Tokens) async throws -> Output {
        let outputs = try await engine.predict(tokens)
        let needed = book == nil ? "id" : "probabilities"
        guard let told = outputs[needed], let vector = outputs["vector"] else {
            let names = outputs.keys.sorted().joined(separator: ", ")
            let expected = "expected \(needed) and vector; export the bundle again"
            throw WOTDError("the model gave the outputs \(names), \(expected)")
        }
        let id = try book?.search(vector, probabilities: told).numbers
        return Output(
            id: try id ?? TextModel.integers(told, of: needed),
            vector: vector,
            detail: try outputs["detail"].map { try TextModel.integers($0, of: "detail") }
        )
    }

    private static func integers(_ numbers: [Float], of name: String) throws -> [Int] {
        try numbers.map { number in
            guard let whole = Int(exactly: number) else {
                throw WOTDError("the model gave \(number) in \(name), expected whole numbers")
            }
            return whole
        }
    }
}
