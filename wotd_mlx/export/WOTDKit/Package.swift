// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "WOTDKit",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "WOTDKit", targets: ["WOTDKit"])
    ],
    targets: [
        .target(name: "WOTDKit"),
        .executableTarget(name: "WOTDSample", dependencies: ["WOTDKit"]),
        .testTarget(name: "WOTDKitTests", dependencies: ["WOTDKit"]),
    ]
)
