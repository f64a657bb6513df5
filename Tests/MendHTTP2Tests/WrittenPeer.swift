import MendHTTP2

/// A server's session and a peer that is written byte by byte.
struct WrittenPeer {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let count = payload.count
    return [
      UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags, UInt8(stream >> 24),
      UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255), UInt8(stream & 255),
    ] + payload
  }

  /// HEADERS of a request, without Huffman and without the dynamic table.
  static func headers(_ stream: UInt32, end: Bool = true) -> [UInt8] {
    func literal(_ index: UInt8, _ value: String) -> [UInt8] { [index, UInt8(value.utf8.count)] + Array(value.utf8) }
    // :method POST and :scheme http are in the static table, :path and :authority have a name there.
    return frame(
      1, flags: end ? 5 : 4, stream: stream, [0x83, 0x86] + literal(0x04, "/a.B/C") + literal(0x01, "localhost"))
  }

  let session: HTTP2Session
  var now: UInt64 = 0

  init(_ limits: HTTP2Limits = HTTP2Limits(), acknowledges: Bool = true) throws {
    session = try HTTP2Session(role: .server, limits: limits, memory: HTTP2Memory())
    try send(Self.preface + Self.frame(4) + (acknowledges ? Self.frame(4, flags: 1) : []))
    _ = try answer()
  }

  func send(_ bytes: [UInt8]) throws {
    try session.receive(bytes.span.bytes, now: now)
  }

  /// The types of the frames that the server sent, with the error codes of its resets and of a GOAWAY.
  func answer() throws -> (types: [UInt8], goAway: UInt8?, resets: [UInt8]) {
    let bytes = try SessionPair.sent(by: session)
    var types: [UInt8] = []
    var code: UInt8?
    var resets: [UInt8] = []
    var index = 0
    while index + 9 <= bytes.count {
      let length = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
      types.append(bytes[index + 3])
      if bytes[index + 3] == 7 { code = bytes[index + 9 + 7] }
      if bytes[index + 3] == 3 { resets.append(bytes[index + 9 + 3]) }
      index += 9 + length
    }
    return (types, code, resets)
  }

  func events() -> [HTTP2Event] {
    var events: [HTTP2Event] = []
    session.exchangeEvents(with: &events)
    return events
  }

  func answerAll() throws {
    var events: [HTTP2Event] = []
    session.exchangeEvents(with: &events)
    for case .headers(let handle, _) in events {
      session.respond(handle, SessionPair.okHeaders)
      session.finish(handle, trailers: SessionPair.okTrailers)
    }
    _ = try answer()
    events = []
    session.exchangeEvents(with: &events)
    for case .closed(let handle, _) in events { session.release(handle) }
  }
}
