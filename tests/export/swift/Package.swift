// swift-tools-version:5.9
import PackageDescription

// WOTDKit's sources and tests beside programs that the tests drive. Where Apple's modules are missing, stand-ins of
// their names take their place, so that all of the package is compiled.
#if os(Linux)
let core: [Target.Dependency] = ["CoreAI", "CoreML"]
let interface: [Target.Dependency] = ["CoreML", "SwiftUI", "UniformTypeIdentifiers"]
let standIns: [Target] = [
    .target(name: "CoreAI", path: "StandIns/CoreAI"),
    .target(name: "CoreML", path: "StandIns/CoreML"),
    .target(name: "SwiftUI", dependencies: ["UniformTypeIdentifiers"], path: "StandIns/SwiftUI"),
    .target(name: "UniformTypeIdentifiers", path: "StandIns/UniformTypeIdentifiers"),
]
#else
let core: [Target.Dependency] = []
let interface: [Target.Dependency] = []
let standIns: [Target] = []
#endif

let package = Package(
    name: "Workshop",
    platforms: [.iOS(.v17), .macOS(.v14)],
    targets: standIns + [
        .target(name: "WOTDKit", dependencies: core),
        .executableTarget(name: "WOTDSample", dependencies: ["WOTDKit"] + interface),
        .executableTarget(name: "encode", dependencies: ["WOTDKit"] + core, path: "Tools/encode"),
        .executableTarget(name: "tokens", dependencies: ["WOTDKit"], path: "Tools/tokens"),
        .executableTarget(name: "table", dependencies: ["WOTDKit"], path: "Tools/table"),
        .executableTarget(name: "search", dependencies: ["WOTDKit"], path: "Tools/search"),
        .testTarget(name: "WOTDKitTests", dependencies: ["WOTDKit"] + core),
    ]
)
