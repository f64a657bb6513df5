import MendHTTP2

/// A client's and a server's session, with wires of memory between them.
final class SessionPair {
  let memory = HTTP2Memory()
  let client: HTTP2Session
  let server: HTTP2Session
  var now: UInt64 = 0
  var clientEvents: [HTTP2Event] = []
  var serverEvents: [HTTP2Event] = []

  static let okHeaders = StaticHeaders([(":status", "200"), ("content-type", "application/grpc")])
  static let okTrailers = StaticHeaders([("grpc-status", "0")])

  init(server limits: HTTP2Limits = HTTP2Limits(), client clientLimits: HTTP2Limits = HTTP2Limits()) throws {
    client = try HTTP2Session(role: .client, limits: clientLimits, memory: memory)
    server = try HTTP2Session(role: .server, limits: limits, memory: memory)
    try exchange()
    clientEvents = []
    serverEvents = []
  }

  /// Carries bytes both ways until neither side has more to say.
  func exchange() throws {
    while true {
      let a = try carry(client, to: server)
      collect()
      let b = try carry(server, to: client)
      collect()
      if !a, !b { return }
    }
  }

  private func carry(_ from: HTTP2Session, to: HTTP2Session) throws -> Bool {
    let bytes = try Self.sent(by: from)
    guard !bytes.isEmpty else { return false }
    try to.receive(bytes.span.bytes, now: now)
    return true
  }

  static func sent(by session: HTTP2Session) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try session.send(upTo: 1 << 20) { span in bytes += span.withUnsafeBytes { Array($0) } }
    return bytes
  }

  func collect() {
    var list: [HTTP2Event] = []
    client.exchangeEvents(with: &list)
    clientEvents += list
    list = []
    server.exchangeEvents(with: &list)
    serverEvents += list
  }

  /// Sends a request with a body from the client; answers with the server's handle of it.
  func request(_ fields: [(String, String)] = [], body: [UInt8] = [1, 2, 3], end: Bool = true) throws
    -> (client: StreamHandle, server: StreamHandle)
  {
    var block = HeaderBlock()
    for (name, value) in [
      (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "localhost"),
    ] + fields {
      block.append(name, value)
    }
    let handle = try client.request(block, endStream: false)
    client.write(handle) { $0 += body }
    if end { client.finish(handle) }
    try exchange()
    for case .headers(let opened, _) in serverEvents where opened.id == handle.id { return (handle, opened) }
    throw HTTP2Error(.local, "the server saw no request")
  }

  /// Everything that waits on a stream, taken and credited.
  func take(_ session: HTTP2Session, _ handle: StreamHandle) -> [UInt8] {
    var bytes: [UInt8] = []
    session.withReceived(handle) { span in
      bytes = span.withUnsafeBytes { Array($0) }
      return span.byteCount
    }
    session.giveCredit(handle, keeping: 0)
    return bytes
  }
}
