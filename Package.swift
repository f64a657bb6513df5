// swift-tools-version: 6.2
import PackageDescription

/// CI sets this; a developer's half-written change should still run.
let warningsAreErrors = Context.environment["MEND_WARNINGS_AS_ERRORS"] == "1"

let swiftSettings: [SwiftSetting] =
  [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  ] + (warningsAreErrors ? [.treatAllWarnings(as: .error)] : [])

/// For the few targets that touch C: every unsafe use is spelt out.
let unsafeSettings: [SwiftSetting] = swiftSettings + [.strictMemorySafety()]

let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
  name: "mend",
  products: [
    .library(name: "MendClient", targets: ["MendClient", "MendAPI", "MendRPC", "MendProtobuf"]),
    .executable(name: "mend", targets: ["mend"]),
    .executable(name: "mend-bench", targets: ["mend-bench"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
  ],
  targets: [
    // The wire: HTTP/2, calls, messages.
    .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .target(name: "MendHTTP2", dependencies: ["CNghttp2"], swiftSettings: unsafeSettings),
    .target(name: "MendProtobuf", swiftSettings: unsafeSettings),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .target(
      name: "MendRPC",
      dependencies: [
        "MendHTTP2", "MendProtobuf", "CZlib", .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOTLS", package: "swift-nio"),
      ] + nio,
      swiftSettings: swiftSettings),
    .executableTarget(name: "schemac", path: "tools/schemac", swiftSettings: swiftSettings),
    .plugin(
      name: "SchemaPlugin", capability: .buildTool(), dependencies: ["schemac"], path: "tools/SchemaPlugin"),
    .target(
      name: "MendAPI", dependencies: ["MendProtobuf", "MendRPC"], exclude: ["proto"], swiftSettings: swiftSettings,
      plugins: ["SchemaPlugin"]),

    // The doctor: what is decided, how it is driven, where it is kept, what runs the work.
    .target(name: "MendCore", swiftSettings: swiftSettings),
    .target(
      name: "MendJournal", dependencies: ["MendCore", "MendProtobuf"], exclude: ["journal.proto"],
      swiftSettings: swiftSettings),
    .target(name: "MendRuntime", dependencies: ["MendCore", log], swiftSettings: swiftSettings),
    .target(
      name: "MendStore",
      dependencies: [
        "CProcess", "MendCore", "MendRuntime", "MendJournal", .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ],
      swiftSettings: unsafeSettings),
    .target(name: "CProcess", swiftSettings: swiftSettings),
    .target(
      name: "MendExecutors", dependencies: ["CProcess", "MendCore", "MendProtobuf", "MendRuntime", log],
      swiftSettings: unsafeSettings),

    // What a failed program's output says.
    .target(name: "CCauses", exclude: ["causes.jsonl"]),
    .target(name: "MendReading", dependencies: ["CCauses", "MendCore", "MendProtobuf"], swiftSettings: unsafeSettings),

    // The program, and what talks to it.
    .target(
      name: "MendServer",
      dependencies: [
        "MendAPI", "MendProtobuf", "MendRPC", "MendCore", "MendJournal", "MendRuntime", log,
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio,
      swiftSettings: swiftSettings),
    .target(name: "MendClient", dependencies: ["MendAPI", "MendProtobuf", "MendRPC"], swiftSettings: swiftSettings),
    .executableTarget(
      name: "mend",
      dependencies: [
        "MendServer", "MendStore", "MendExecutors", "MendClient", "MendAPI", "MendProtobuf", "MendRPC", "MendCore",
        "MendJournal", "MendReading", "MendRuntime", "CProcess", log,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "mend-bench",
      dependencies: [
        "MendClient", "MendAPI", "MendProtobuf", "MendRPC",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "tools/bench", swiftSettings: swiftSettings),

    // Tests mirror Sources, and Support has what several share; the end-to-end ones are Python, under Tests/EndToEnd.
    .executableTarget(
      name: "interop-server", dependencies: ["MendProtobuf", "MendRPC"], path: "Tests/Interop/server",
      exclude: ["proto"], swiftSettings: swiftSettings, plugins: ["SchemaPlugin"]),
    .target(name: "TestSupport", path: "Tests/Support", swiftSettings: swiftSettings),
    .testTarget(name: "MendProtobufTests", dependencies: ["MendProtobuf"], swiftSettings: swiftSettings),
    .testTarget(name: "SchemacTests", dependencies: ["schemac"], swiftSettings: swiftSettings),
    .testTarget(
      name: "MendAPITests", dependencies: ["MendAPI", "MendProtobuf", "MendRPC"], swiftSettings: swiftSettings),
    .testTarget(
      name: "MendClientTests", dependencies: ["MendClient", "MendAPI", "MendProtobuf", "MendRPC", "TestSupport"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "ProgramTests", dependencies: ["mend", "MendAPI", "MendCore", "MendProtobuf", "MendRPC", "TestSupport"],
      exclude: ["Histories"], swiftSettings: swiftSettings),
    .testTarget(name: "MendHTTP2Tests", dependencies: ["MendHTTP2"], swiftSettings: swiftSettings),
    .testTarget(
      name: "MendRPCTests",
      dependencies: [
        "MendRPC", "MendHTTP2", "TestSupport", .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ] + nio,
      swiftSettings: swiftSettings),
    .testTarget(
      name: "MendReadingTests", dependencies: ["MendReading", "MendCore", "MendProtobuf"],
      swiftSettings: swiftSettings),
    .testTarget(name: "MendCoreTests", dependencies: ["MendCore", "TestSupport"], swiftSettings: swiftSettings),
    .testTarget(
      name: "MendRuntimeTests", dependencies: ["MendRuntime", "MendCore", "MendStore", "TestSupport", log],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "SimulationTests",
      dependencies: [
        "MendExecutors", "MendStore", "MendRuntime", "MendCore", "TestSupport", log,
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ], path: "Tests/Simulation", exclude: ["run"], swiftSettings: swiftSettings),
    .testTarget(
      name: "MendServerTests",
      dependencies: [
        "MendServer", "MendStore", "MendRuntime", "MendCore", "MendAPI", "MendProtobuf", "MendRPC", "TestSupport", log,
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ] + nio, swiftSettings: swiftSettings),
    .testTarget(
      name: "MendStoreTests",
      dependencies: [
        "MendStore", "MendRuntime", "MendCore", "MendJournal", "JournalSchema", "MendProtobuf", "TestSupport", log,
        .product(name: "GRDB", package: "GRDB.swift"),
      ], swiftSettings: swiftSettings),
    .testTarget(
      name: "JournalsTests",
      dependencies: [
        "mend", "MendStore", "MendRuntime", "MendCore", "MendJournal", "MendAPI", "CZlib", "TestSupport",
      ],
      path: "Tests/Journals", exclude: ["README.md", "Schema", "first-release"], swiftSettings: swiftSettings),
    .target(
      name: "JournalSchema", dependencies: ["MendProtobuf"], path: "Tests/Journals/Schema",
      exclude: ["proto"], swiftSettings: swiftSettings, plugins: ["SchemaPlugin"]),
    .testTarget(
      name: "MendExecutorsTests",
      dependencies: ["MendExecutors", "MendCore", "MendProtobuf", "MendRuntime", "mend", "TestSupport", log],
      exclude: ["RayAnswers"],
      swiftSettings: swiftSettings),
  ]
)
