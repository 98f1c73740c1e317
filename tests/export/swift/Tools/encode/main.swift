// What SemanticEncoder makes of texts.
//
//     encode BUNDLE [OPTION…]     a text a line as a JSON string on stdin, a JSON object a line
//
//     --cancelled     by tasks that are cancelled before they begin
//     --together      all texts in one call, whose IDs are one line
//     --prepare       prepare the bundle, and encode nothing
//     --kept=FOLDER   where compiled models are kept

import Foundation
import WOTDKit

struct Answer: Encodable {
    var id: SemanticID?
    var whole: SemanticID?
    var vector: [Float]?
    var detail: [Int]?
    var truncated: Bool?
    var engine: String?
    var refused: [String]?
    var error: String?
}

func answer(_ text: String, of encoder: SemanticEncoder) async -> Answer {
    do {
        let id = try await encoder.encode(text)
        let whole = try await encoder.encodeWhole(text)
        return Answer(
            id: id, whole: whole.id, vector: whole.vector, detail: whole.detail, truncated: whole.isTruncated,
            engine: encoder.engine, refused: encoder.refused)
    } catch is CancellationError {
        return Answer(error: "cancelled")
    } catch {
        return Answer(error: error.localizedDescription)
    }
}

let options = CommandLine.arguments.dropFirst(2)
let bundle = URL(fileURLWithPath: CommandLine.arguments[1], isDirectory: true)
let kept = options.first { $0.hasPrefix("--kept=") }.map { URL(fileURLWithPath: String($0.dropFirst(7))) }
let isCancelled = options.contains("--cancelled")
let encoder: SemanticEncoder
do {
    if options.contains("--prepare") {
        try await SemanticEncoder.prepare(url: bundle, keptIn: kept)
        exit(0)
    }
    encoder = try await SemanticEncoder(url: bundle, keptIn: kept)
} catch {
    FileHandle.standardError.write(Data("error: \(error.localizedDescription)\n".utf8))
    exit(1)
}

func lines() throws -> [String] {
    try AnyIterator { readLine() }.map { try JSONDecoder().decode(String.self, from: Data($0.utf8)) }
}

func show(_ value: some Encodable) throws {
    print(String(decoding: try JSONEncoder().encode(value), as: UTF8.self))
}

if options.contains("--together") {
    try show(try await encoder.encode(lines()))
} else {
    for text in try lines() {
        let task = Task {
            if isCancelled { withUnsafeCurrentTask { $0?.cancel() } }
            return await answer(text, of: encoder)
        }
        try show(await task.value)
    }
}
