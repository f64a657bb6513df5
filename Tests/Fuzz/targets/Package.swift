// swift-tools-version: 6.2
import PackageDescription

// Tests/Fuzz/run puts this into a scratch folder, beside a link to the sources of Mend: a package that others depend on
// must not have the flags below. Only Mend's own targets have them, so that what is learned of coverage is about them, and
// the libraries build in half the time. generated/ is what the schema compiler makes there of Mend's schemas.

let sanitizers = "-sanitize=address,fuzzer"
let swiftSettings: [SwiftSetting] = [
  .unsafeFlags(["-enable-testing", sanitizers]),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
let unsafeSettings: [SwiftSetting] = swiftSettings + [.strictMemorySafety()]

let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]

let package = Package(
  name: "fuzz",
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
  ],
  targets: [
    .systemLibrary(name: "CNghttp2", path: "mend/Sources/CNghttp2", pkgConfig: "libnghttp2"),
    .target(
      name: "MendHTTP2", dependencies: ["CNghttp2"], path: "mend/Sources/MendHTTP2", swiftSettings: unsafeSettings),
    .target(name: "MendProtobuf", path: "mend/Sources/MendProtobuf", swiftSettings: unsafeSettings),
    .systemLibrary(name: "CZlib", path: "mend/Sources/CZlib"),
    .target(
      name: "MendRPC",
      dependencies: ["MendHTTP2", "MendProtobuf", "CZlib", .product(name: "NIOSSL", package: "swift-nio-ssl")] + nio,
      path: "mend/Sources/MendRPC", swiftSettings: swiftSettings),
    .target(
      name: "MendAPI", dependencies: ["MendProtobuf", "MendRPC"], path: "generated", swiftSettings: swiftSettings),
    .target(name: "MendCore", path: "mend/Sources/MendCore", swiftSettings: swiftSettings),
    .target(
      name: "MendJournal", dependencies: ["MendCore", "MendProtobuf"], path: "mend/Sources/MendJournal",
      exclude: ["journal.proto"], swiftSettings: unsafeSettings),
    .target(
      name: "SchemaCompiler", path: "mend/tools/schemac", exclude: ["Schemac.swift"], swiftSettings: swiftSettings),
    .executableTarget(
      name: "Fuzz",
      dependencies: [
        "MendHTTP2", "MendProtobuf", "MendRPC", "MendAPI", "MendCore", "MendJournal", "SchemaCompiler",
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ] + nio,
      path: "sources/Fuzz", swiftSettings: swiftSettings,
      // gold, the default linker, can't read what the sanitizers bring.
      linkerSettings: [.unsafeFlags([sanitizers, "-use-ld=lld"])]),
  ])
