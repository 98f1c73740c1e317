// What a word table answers, a question and an answer a line, as JSON objects.

import Foundation
import WOTDKit

struct Question: Decodable {
    let file: String
    var texts: [String]?
    var ids: [SemanticID]?
    var vectors: [[Float]]?
    var count: Int?
}

struct Near: Encodable {
    let word: String
    let cosine: Float
}

struct Answer: Encodable {
    var count: Int?
    var ids: [SemanticID?] = []
    var words: [[String]] = []
    var nearest: [[Near]] = []
    var error: String?
}

func answer(_ question: Question) -> Answer {
    do {
        let table = try WordTable(url: URL(fileURLWithPath: question.file))
        return Answer(
            count: table.count,
            ids: (question.texts ?? []).map(table.id),
            words: (question.ids ?? []).map(table.words),
            nearest: (question.vectors ?? []).map { vector in
                table.nearest(to: vector, count: question.count ?? 10).map { Near(word: $0.word, cosine: $0.cosine) }
            })
    } catch {
        return Answer(error: error.localizedDescription)
    }
}

while let line = readLine() {
    let question = try JSONDecoder().decode(Question.self, from: Data(line.utf8))
    print(String(decoding: try JSONEncoder().encode(answer(question)), as: UTF8.self))
}
