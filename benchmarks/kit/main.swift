// What WOTDKit takes on this machine: milliseconds to open a bundle and to search it, microseconds a look-up, memory.
//
//     kit BUNDLE [open]   one JSON object; the lines of `texts.txt` in the bundle are words that it knows
//
// Without `open`, what the program itself holds.

import Foundation
import WOTDKit

func milliseconds(_ body: () throws -> Void) rethrows -> Double {
    let clock = ContinuousClock()
    return try clock.measure(body) / .milliseconds(1)
}

func median(_ numbers: [Double]) -> Double {
    numbers.sorted()[numbers.count / 2]
}

/// Megabytes that the process held at most, and those of them that are no file's.
func memory() throws -> [String: Double] {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    var found: [String: Double] = [:]
    for line in status.split(separator: "\n") {
        let parts = line.split(whereSeparator: \.isWhitespace)
        if let key = ["VmHWM:": "peak_mb", "RssAnon:": "own_mb"][String(parts[0])] {
            found[key] = Double(parts[1])! * 1024 / 1e6
        }
    }
    return found
}

/// Numbers from -1 to 1 that look like chance: Knuth's generator.
func vector(_ seed: Int, dimensions: Int) -> [Float] {
    var state = UInt64(seed)
    return (0..<dimensions).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
    }
}

func figures(_ bundle: URL, _ texts: [String]) throws -> [String: Double] {
    var opened: (words: WordTable, tokenizer: WordPieceTokenizer)?
    let open = try milliseconds {
        let manifest = try Manifest.read(bundle: bundle)
        let words = try WordTable(bundle: bundle, words: manifest.words!)
        opened = (words, try WordPieceTokenizer(words: words, settings: manifest.tokenizer!))
    }
    let (words, tokenizer) = opened!
    var known = 0
    let lookUp = milliseconds { known = texts.filter { words.id(of: $0) != nil }.count }
    precondition(known == texts.count)
    let cut = milliseconds { for text in texts { _ = tokenizer.encode(text, maxLength: 16) } }
    let vectors = (0..<50).map { vector($0, dimensions: 384) }
    let nearest = vectors.map { vector in
        milliseconds { precondition(words.nearest(to: vector, count: 10).count == 10) }
    }
    return [
        "open_ms": open,
        "look_up_us": 1000 * lookUp / Double(texts.count),
        "tokens_us": 1000 * cut / Double(texts.count),
        "nearest_ms": median(nearest),
    ]
}

let bundle = URL(fileURLWithPath: CommandLine.arguments[1], isDirectory: true)
let texts = try String(contentsOf: bundle.appendingPathComponent("texts.txt"), encoding: .utf8)
    .split(separator: "\n").map(String.init)
_ = try JSONDecoder().decode([String: [Int]].self, from: Data("{\"a\": [1]}".utf8))
var found = CommandLine.arguments.contains("open") ? try figures(bundle, texts) : [:]
found.merge(try memory()) { $1 }
print(String(decoding: try JSONEncoder().encode(found), as: UTF8.self))
