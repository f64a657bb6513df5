import MendHTTP2
import MendRPC
import Testing

/// A server against requests that no honest client sends.
@Suite struct WireTests {
  private func withPort(_ body: (Int) throws -> Void) async throws {
    let server = RPCServer(
      router: makeRouter(Witness()), configuration: ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0)]))
    guard case .inet(_, let port)? = try await server.start().first else { return }
    defer { _ = port }
    do {
      try body(port)
    } catch {
      await server.shutdown(gracePeriod: .zero)
      throw error
    }
    await server.shutdown(gracePeriod: .zero)
  }

  static let grpc = ("content-type", "application/grpc")

  @Test("Requests that break gRPC's framing are refused, each with what is wrong")
  func framing() async throws {
    try await withPort { port in
      let cases: [(body: [UInt8], status: String, message: String)] = [
        ([0, 0, 0, 0, 9, 1, 2], "13", "the request was cut short: its stream ended 7 bytes into a message"),
        ([0, 0], "13", "the request was cut short: its stream ended 2 bytes into a message"),
        ([], "13", "the request ended without a message"),
        ([1, 0, 0, 0, 1, 7], "13", "the request is compressed, but its call names no grpc-encoding"),
        ([9, 0, 0, 0, 1, 7], "13", "the request begins with flag 9; only 0 and 1 are known"),
        ([0, 0, 0, 0, 1, 7, 0], "13", "the request has 1 bytes after its message; this method takes one"),
        ([0, 255, 255, 255, 255], "8", "the request has 4294967295 bytes; at most 4194304 are taken"),
      ]
      let caller = try BareCaller(port: port)
      for path in ["/test.Service/Echo", "/test.Service/InlineEcho"] {
        for (body, status, message) in cases {
          let answer = try caller.call(path, body: body)
          #expect(answer.fields["grpc-status"] == status)
          #expect(answer.fields["grpc-message"] == message)
        }
      }
      let answer = try caller.call("/test.Service/Sum", body: [0, 0, 0, 0, 1, 7, 0, 0])
      #expect(answer.fields["grpc-status"] == "13")
    }
  }

  @Test("Requests that are no gRPC get an HTTP status")
  func http() async throws {
    try await withPort { port in
      let caller = try BareCaller(port: port)
      #expect(try caller.call("/test.Service/Echo", [], body: []).fields[":status"] == "415")
      #expect(
        try caller.call("/test.Service/Echo", [("content-type", "application/json")], body: []).fields[":status"]
          == "415")
      #expect(
        try caller.call("/test.Service/Echo", [("content-type", "application/grpcx")], body: []).fields[":status"]
          == "415")
      let typed = try caller.call(
        "/test.Service/Echo", [("content-type", "application/grpc+proto")], body: [0, 0, 0, 0, 1, 7])
      #expect(typed.fields["grpc-status"] == "0")
      #expect(typed.body == [0, 0, 0, 0, 1, 7])
    }
  }

  @Test("Headers that the protocol forbids fail the call and not the connection")
  func headers() async throws {
    try await withPort { port in
      let caller = try BareCaller(port: port)
      let brotli = try caller.call(
        "/test.Service/Echo", [Self.grpc, ("grpc-encoding", "br")], body: [1, 0, 0, 0, 1, 7])
      #expect(brotli.fields["grpc-status"] == "12")
      #expect(brotli.fields["grpc-accept-encoding"] == "identity,gzip")
      #expect(brotli.fields["grpc-message"] == "grpc-encoding br is not supported; identity,gzip are")
      let timeout = try caller.call(
        "/test.Service/Echo", [Self.grpc, ("grpc-timeout", "soon")], body: [0, 0, 0, 0, 0])
      #expect(timeout.fields["grpc-status"] == "13")
      let binary = try caller.call("/test.Service/Echo", [Self.grpc, ("a-bin", "%%%")], body: [0, 0, 0, 0, 0])
      #expect(binary.fields["grpc-message"] == "metadata a-bin is not base64")
      let past = try caller.call("/test.Service/Echo", [Self.grpc, ("grpc-timeout", "0n")], body: [0, 0, 0, 0, 0])
      #expect(past.fields["grpc-status"] == "4")
      let fine = try caller.call(
        "/test.Service/Echo", [Self.grpc, ("grpc-encoding", "identity"), ("a-bin", "AAH/"), ("b-bin", "AAE=")],
        body: [0, 0, 0, 0, 0])
      #expect(fine.fields["grpc-status"] == "0")
      #expect(fine.fields["a-bin"] == "AAH/")
      #expect(fine.fields["b-bin"] == "AAE")
    }
  }

  @Test("A caller that pings without end is told to calm down and disconnected")
  func pingStrikes() async throws {
    try await withPort { port in
      let caller = try BareCaller(port: port)
      _ = try caller.call("/test.Service/Echo", body: [0, 0, 0, 0, 0])
      var wasTold = false
      for _ in 0..<10 {
        caller.session.ping(1)
        try caller.flush()
        guard try caller.receive() else { break }
        var events: [HTTP2Event] = []
        caller.session.exchangeEvents(with: &events)
        for case .goAway(_, .enhanceYourCalm) in events { wasTold = true }
        if wasTold { break }
      }
      #expect(wasTold)
    }
  }
}
