import Foundation
import Testing

@testable import schemac

/// Generated code is compared with a copy that was reviewed. MEND_REWRITE_GOLDEN=1 writes the copies anew.
@Suite("Generated code")
struct GoldenTests {
  private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

  private func compile(_ paths: [String], in directories: [String], rpcModule: String?) -> [Compiler.Output] {
    let compiler = Compiler(rpcModule: rpcModule) { path in
      for directory in directories {
        if let content = try? String(contentsOf: Self.tests.appending(path: "\(directory)/\(path)"), encoding: .utf8) {
          return Loader.Text(content: content, displayName: path)
        }
      }
      return nil
    }
    let (outputs, diagnostics) = compiler.compile(paths)
    #expect(diagnostics.isEmpty)
    return outputs
  }

  private func compare(_ output: Compiler.Output, in directory: String) throws {
    let golden = Self.tests.appending(path: "\(directory)/\(output.name)")
    if ProcessInfo.processInfo.environment["MEND_REWRITE_GOLDEN"] == "1" {
      try output.text.write(to: golden, atomically: true, encoding: .utf8)
    }
    #expect(try String(contentsOf: golden, encoding: .utf8) == output.text, "\(golden.path) differs")
  }

  @Test("Messages of every kind are the copies that MendProtobufTests compile")
  func messages() throws {
    let outputs = compile(
      ["google/protobuf/struct.proto", "google/protobuf/wrappers.proto", "kinds.proto"], in: ["Schemas"],
      rpcModule: nil)
    #expect(outputs.count == 4)
    for output in outputs where output.name != Compiler.listName {
      try compare(output, in: "MendProtobufTests/Generated")
    }
  }

  @Test("A service, its protocol and its client are the reviewed copy")
  func service() throws {
    let outputs = compile(["grpc/health/v1/health.proto"], in: ["../proto"], rpcModule: "MendRPC")
    try compare(outputs[0], in: "Schemas")
  }

  @Test("All four shapes of a call have their own signatures")
  func shapes() throws {
    let schema = """
      syntax = "proto3";
      package t;
      message A {}
      message B {}
      service Shapes {
        rpc Unary(A) returns (B);
        rpc Up(stream A) returns (B) {}
        rpc Down(A) returns (stream B) { option deprecated = true; }
        rpc Both(stream .t.A) returns (stream t.B);
      }
      """
    let compiler = Compiler(rpcModule: "MendRPC") { _ in Loader.Text(content: schema, displayName: "t.proto") }
    let text = compiler.compile(["t.proto"]).outputs[0].text
    for line in [
      "func unary(_ request: A, context: ServerContext) async throws(RPCError) -> B",
      "func up(_ requests: RequestStream<A>, context: ServerContext) async throws(RPCError) -> B",
      "func down(_ request: A, writer: ResponseWriter<B>, context: ServerContext) async throws(RPCError)",
      "func both(_ requests: RequestStream<A>, writer: ResponseWriter<B>, context: ServerContext)",
      "router.bidirectional(Shapes.Methods.both) {",
      "requests: @escaping @Sendable (RequestWriter<A>) async throws(RPCError) -> Void",
      ") async throws(RPCError) -> ResponseStream<B> {",
      "public func both<ResponsesResult>(",
      "responses: (ResponseStream<B>) async throws(RPCError) -> ResponsesResult",
      #"service: "t.Shapes", method: "Down", shape: .serverStreaming)"#,
      "/// Deprecated in the schema.",
    ] {
      #expect(text.contains(line), "\(line)")
    }
  }

  @Test("A schema's own Void and ResponsesResult are not taken for Swift's and the generator's")
  func hiddenNames() throws {
    let schema = """
      syntax = "proto3";
      message Void {}
      message ResponsesResult {}
      service S { rpc Both(stream Void) returns (stream ResponsesResult); }
      """
    let compiler = Compiler(rpcModule: "MendRPC") { _ in Loader.Text(content: schema, displayName: "t.proto") }
    let text = compiler.compile(["t.proto"]).outputs[0].text
    #expect(text.contains("(RequestWriter<Void>) async throws(RPCError) -> Swift.Void"))
    #expect(text.contains("context: ServerContext) async throws(RPCError) -> Swift.Void in"))
    #expect(text.contains("func both<_ResponsesResult>("))
  }
}
