@testable import SchemaCompiler

/// Schema text, as somebody might write it. A schema either compiles, or every fault that is told stands within it.
final class SchemaTarget {
  private static let imported = """
    syntax = "proto3";
    package other;
    message Thing { string name = 1; enum Kind { KIND_UNSPECIFIED = 0; } }
    """

  func run(_ input: [UInt8]) {
    let text = String(decoding: input, as: UTF8.self)
    let compiler = Compiler(rpcModule: input.count % 2 == 0 ? "MendRPC" : nil) { path in
      switch path {
      case "fuzz.proto": Loader.Text(content: text, displayName: path)
      case "other.proto", "google/protobuf/timestamp.proto":
        Loader.Text(content: Self.imported, displayName: path)
      default: nil
      }
    }
    let (outputs, diagnostics) = compiler.compile(["fuzz.proto"])
    precondition(outputs.isEmpty != diagnostics.isEmpty, "neither an answer nor a fault")
    let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.count
    for diagnostic in diagnostics where diagnostic.location.file == "fuzz.proto" {
      precondition(
        (1...lines).contains(diagnostic.location.line) && diagnostic.location.column >= 1,
        "a fault outside of the text: \(diagnostic)")
      precondition(!diagnostic.message.isEmpty)
    }
  }
}
