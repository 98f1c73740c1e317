// What SemanticEncoder makes of texts.
//
//     encode BUNDLE [--cancelled]     a text a line as a JSON string on stdin, a JSON object a line

import Foundation
import WOTDKit

struct Answer: Encodable {
    var id: SemanticID?
    var whole: SemanticID?
    var vector: [Float]?
    var detail: [Int]?
    var truncated: Bool?
    var error: String?
}

func answer(_ text: String, of encoder: SemanticEncoder) async -> Answer {
    do {
        let id = try await encoder.encode(text)
        let whole = try await encoder.encodeWhole(text)
        return Answer(
            id: id, whole: whole.id, vector: whole.vector, detail: whole.detail, truncated: whole.isTruncated)
    } catch is CancellationError {
        return Answer(error: "cancelled")
    } catch {
        return Answer(error: error.localizedDescription)
    }
}

let isCancelled = CommandLine.arguments.contains("--cancelled")
let encoder: SemanticEncoder
do {
    encoder = try await SemanticEncoder(url: URL(fileURLWithPath: CommandLine.arguments[1], isDirectory: true))
} catch {
    FileHandle.standardError.write(Data("error: \(error.localizedDescription)\n".utf8))
    exit(1)
}
while let line = readLine() {
    let text = try JSONDecoder().decode(String.self, from: Data(line.utf8))
    let task = Task {
        if isCancelled { withUnsafeCurrentTask { $0?.cancel() } }
        return await answer(text, of: encoder)
    }
    print(String(decoding: try JSONEncoder().encode(await task.value), as: UTF8.self))
}
