import MendRPC

extension HandMadePeer {
  /// A pool's calls to one such peer, for as long as `body` takes.
  static func run(
    _ change: (inout PoolConfiguration) -> Void, _ script: @escaping @Sendable (Line) -> Void,
    _ body: (ClientPool, HandMadePeer) async throws -> Void
  ) async throws {
    let peer = try HandMadePeer(script)
    defer { peer.stop() }
    var configuration = PoolConfiguration()
    change(&configuration)
    try await body(ClientPool(.tcp(host: "127.0.0.1", port: peer.port), configuration: configuration), peer)
  }
}

/// How a call of a pool ends; nil where it succeeds.
func echo(_ pool: ClientPool, _ change: (inout CallOptions) -> Void = { _ in }) async -> RPCError? {
  var options = CallOptions()
  change(&options)
  let made = options
  return await status { () async throws(RPCError) -> RawMessage in
    try await pool.unary(Methods.echo, RawMessage([1]), options: made)
  }
}
