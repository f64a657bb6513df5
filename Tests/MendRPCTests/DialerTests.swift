import MendRPC
import Testing

/// Connections to names of several addresses.
@Suite struct DialerTests {
  private typealias Frame = HandMadePeer.Frame

  private func echo(_ addresses: [ServerAddress]) async -> RPCError? {
    var configuration = PoolConfiguration()
    configuration.connection.knownAddresses = addresses
    let pool = ClientPool(.tcp(host: "several", port: 1), configuration: configuration)
    var options = CallOptions()
    options.timeout = .seconds(30)
    let made = options
    return await status { () async throws(RPCError) in
      _ = try await pool.unary(Methods.echo, RawMessage([1]), options: made) as RawMessage
    }
  }

  @Test("Of a name's addresses one that lives is used, wherever it stands; where none does, the error says why")
  func addresses() async throws {
    let peer = try HandMadePeer { line in
      guard line.greet() else { return }
      while let request = line.next(Frame.headers) { line.answer(request.stream, [9]) }
    }
    defer { peer.stop() }
    // Bound and not listening: whoever connects is refused, and nobody else can take the port meanwhile.
    let port = try DeadPort()
    let alive = ServerAddress.tcp(host: "127.0.0.1", port: peer.port)
    let dead = ServerAddress.tcp(host: "127.0.0.1", port: port.port)
    let six = ServerAddress.tcp(host: "::1", port: port.port)
    for addresses in [[dead, alive], [six, alive], [six, dead, dead, alive], [alive, dead]] {
      #expect(await echo(addresses) == nil, "\(addresses)")
    }
    #expect(peer.connectionCount == 4)
    let error = await echo([six, dead])
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("Connection refused") == true, "\(error?.message ?? "")")
    #expect(error?.connectionFault == .refused)
  }
}
