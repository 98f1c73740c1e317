// What a dictionary finds, a question and an answer a line, as JSON objects.

import Foundation
import WOTDKit

struct Question: Decodable {
    let file: String
    var vectors: [[Float]]?
    var probabilities: [[Float]]?
}

struct Answer: Encodable {
    var count: Int?
    var ids: [SemanticID] = []
    var milliseconds: Double?
    var error: String?
}

func answer(_ question: Question) -> Answer {
    do {
        let book = try CodeBook(url: URL(fileURLWithPath: question.file))
        let asked = zip(question.vectors ?? [], question.probabilities ?? [])
        var ids: [SemanticID] = []
        let clock = ContinuousClock()
        let taken = try clock.measure {
            for (vector, probabilities) in asked {
                ids.append(try book.search(vector, probabilities: probabilities))
            }
        }
        return Answer(count: book.count, ids: ids, milliseconds: taken / .milliseconds(max(1, ids.count)))
    } catch {
        return Answer(error: error.localizedDescription)
    }
}

while let line = readLine() {
    let question = try JSONDecoder().decode(Question.self, from: Data(line.utf8))
    print(String(decoding: try JSONEncoder().encode(answer(question)), as: UTF8.self))
}
