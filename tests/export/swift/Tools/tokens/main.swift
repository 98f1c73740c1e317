// Tokens of texts, by the pieces of any bundle.
//
//     tokens BUNDLE LENGTH                  a text a line as a JSON string on stdin, a JSON object a line
//     tokens BUNDLE LENGTH PART COUNT END   one text, COUNT times PART, then END; and the most memory taken

import Foundation
import WOTDKit

let arguments = CommandLine.arguments
let tokenizer = try WordPieceTokenizer(bundle: URL(fileURLWithPath: arguments[1], isDirectory: true))
let length = Int(arguments[2])!

func show(_ text: String) {
    let found = tokenizer.encode(text, maxLength: length)
    print("{\"tokens\": \(found.tokens), \"mask\": \(found.mask), \"truncated\": \(found.isTruncated)}")
}

if arguments.count > 3 {
    let (part, count, end) = (arguments[3], Int(arguments[4])!, arguments[5])
    var text = ""
    text.reserveCapacity(count * part.utf8.count + end.utf8.count)
    for _ in 0..<count {
        text += part
    }
    text += end
    show(text)
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    print(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }!)
} else {
    while let line = readLine() {
        show(try JSONDecoder().decode(String.self, from: Data(line.utf8)))
    }
}
