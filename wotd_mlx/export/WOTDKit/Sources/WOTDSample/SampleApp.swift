#if canImport(SwiftUI) && canImport(CoreML)
import SwiftUI

@main
struct SampleApp: App {
    var body: some Scene {
        WindowGroup("Word to semantic ID") {
            SampleView()
        }
    }
}
#else
@main
struct Sample {
    static func main() {
        print("The sample needs SwiftUI and Core ML; here only tokenising and nearest words work.")
    }
}
#endif
