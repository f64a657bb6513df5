// swift-tools-version: 6.2
import PackageDescription

// Tests/Conformance/run puts this into a scratch folder, beside links to the sources of Mend that it tests: the codec and
// the schema compiler alone, so that neither sockets nor TLS are built for it. The two targets below generated/ are what
// the compiler makes there of the suite's schemas and of Mend's own.

let swiftSettings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
  name: "conformance",
  platforms: [.macOS(.v26)],
  targets: [
    .target(
      name: "MendProtobuf", path: "mend/Sources/MendProtobuf", swiftSettings: swiftSettings + [.strictMemorySafety()]),
    .executableTarget(name: "schemac", path: "mend/tools/schemac", swiftSettings: swiftSettings),
    .target(
      name: "SuiteSchemas", dependencies: ["MendProtobuf"], path: "generated/suite", swiftSettings: swiftSettings),
    .target(name: "MendSchemas", dependencies: ["MendProtobuf"], path: "generated/mend", swiftSettings: swiftSettings),
    .target(name: "Frames", path: "sources/Frames", swiftSettings: swiftSettings),
    .executableTarget(
      name: "Testee", dependencies: ["Frames", "MendProtobuf", "SuiteSchemas"], path: "sources/Testee",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "Filter", dependencies: ["Frames", "MendProtobuf", "MendSchemas"], path: "sources/Filter",
      swiftSettings: swiftSettings),
  ])
