import MendHTTP2
import Testing

/// What a server takes for a request (RFC 9113 8.2, 8.3), and where it is as mild as gRPC's servers are.
@Suite struct RequestRulesTests {
  typealias Fields = [(name: String, value: String)]

  static let request: Fields = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "x")]

  /// Literals without Huffman and without the dynamic table.
  static func block(_ fields: Fields) -> [UInt8] {
    var block: [UInt8] = []
    for (name, value) in fields {
      block += [0, UInt8(name.utf8.count)]
      block += name.utf8
      block.append(UInt8(value.utf8.count))
      block += value.utf8
    }
    return block
  }

  private static func without(_ name: String) -> Fields { request.filter { $0.name != name } }

  private static func replacing(_ name: String, by value: String) -> Fields {
    request.map { $0.name == name ? (name, value) : $0 }
  }

  /// What the server tells of a request with these fields: the fields that it took, or nil and its reset.
  private func send(_ fields: Fields, body: [UInt8]? = nil) throws -> (taken: Fields?, resets: [UInt8]) {
    let peer = try WrittenPeer()
    var frames = WrittenPeer.frame(1, flags: body == nil ? 5 : 4, stream: 1, Self.block(fields))
    if let body { frames += WrittenPeer.frame(0, flags: 1, stream: 1, body) }
    try peer.send(frames)
    let answer = try peer.answer()
    #expect(answer.goAway == nil)
    #expect(!peer.session.isTerminated)
    var taken: Fields?
    for case .headers(let handle, _) in peer.events() {
      var block = HeaderBlock()
      peer.session.exchangeHeaders(of: handle, with: &block)
      taken = block.fields.map { (block.text($0.name), block.text($0.value)) }
    }
    // The connection lives, whatever became of the stream.
    try peer.send(WrittenPeer.headers(3))
    #expect(peer.events().contains { if case .headers = $0 { true } else { false } })
    return (taken, answer.resets)
  }

  @Test(
    "An authority that is a socket's path, odd, empty or missing is no fault",
    arguments: ["/run/mend/mend.sock", "%2Frun%2Fmend.sock", "", nil, "user@host:1", "unix:///run/x", "[::1]:7443"])
  func authorities(_ authority: String?) throws {
    let fields = authority.map { Self.replacing(":authority", by: $0) } ?? Self.without(":authority")
    let answer = try send(fields)
    #expect(answer.resets == [])
    #expect(answer.taken?.count == fields.count)
  }

  @Test("Blanks around a value are dropped, those within it stay", arguments: [" a b", "a b ", "\t a b \t", "a b"])
  func blanks(_ value: String) throws {
    let answer = try send(Self.request + [("mend-namespace", value), ("only-blanks", " \t ")])
    #expect(answer.resets == [])
    #expect(answer.taken?.dropFirst(4).map(\.value) == ["a b", ""])
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let what: String
    let fields: Fields
    init(_ what: String, _ fields: Fields) { (self.what, self.fields) = (what, fields) }
    var testDescription: String { what }
  }

  static let malformedCases: [Case] = [
    Case("no method", without(":method")), Case("no scheme", without(":scheme")), Case("no path", without(":path")),
    Case("an empty path", replacing(":path", by: "")), Case("a path without slash", replacing(":path", by: "a.B/C")),
    Case("a path without slash of another case", [(":method", "POST"), (":scheme", "HTTP"), (":path", "a.B/C")]),
    Case("an asterisk to POST", replacing(":path", by: "*")),
    Case("a path with a blank", replacing(":path", by: "/a b")),
    Case("a method that is none", replacing(":method", by: "PO ST")),
    Case("an empty method", replacing(":method", by: "")),
    Case("a scheme that is none", replacing(":scheme", by: "1http")), Case("two methods", [request[0]] + request),
    Case("two authorities", request + [(":authority", "x")]), Case("two paths", request + [(":path", "/a.B/C")]),
    Case("an unknown pseudo-field", request + [(":version", "2")]),
    Case("a response's", request + [(":status", "200")]),
    Case("a pseudo-field behind others", [("a", "b")] + request), Case("an uppercase name", request + [("A", "b")]),
    Case("an authority with a line break", replacing(":authority", by: "a\nb")),
    Case("connection", request + [("connection", "close")]), Case("keep-alive", request + [("keep-alive", "1")]),
    Case("upgrade", request + [("upgrade", "h2c")]),
    Case("proxy-connection", request + [("proxy-connection", "close")]),
    Case("transfer-encoding", request + [("transfer-encoding", "chunked")]), Case("te", request + [("te", "gzip")]),
    Case("te of the same length", request + [("te", "trailerz")]),
    Case("another host", request + [("host", "y")]), Case("two hosts", request + [("host", "x"), ("host", "x")]),
    Case("CONNECT with a path", replacing(":method", by: "CONNECT")),
    Case("a content-length that is none", request + [("content-length", "x")]),
    Case("two content-lengths", request + [("content-length", "0"), ("content-length", "0")]),
    Case("a content-length without content", request + [("content-length", "1")]),
  ]

  @Test("A malformed request is reset with PROTOCOL_ERROR, and nobody is told of it", arguments: malformedCases)
  func malformed(_ example: Case) throws {
    let answer = try send(example.fields)
    #expect(answer.resets == [UInt8(HTTP2ErrorCode.protocolError.rawValue)], "\(example.what)")
    #expect(answer.taken == nil, "\(example.what)")
  }

  static let oddCases: [Case] = [
    Case("the same host", request + [("host", "X")]), Case("a host alone", without(":authority") + [("host", "y")]),
    Case("te: trailers", request + [("te", "trailers")]), Case("te: Trailers", request + [("te", "Trailers")]),
    Case("OPTIONS *", [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*")]),
    Case("CONNECT", [(":method", "CONNECT"), (":authority", "x:1")]),
    Case("another scheme", [(":method", "GET"), (":scheme", "x"), (":path", "y")]),
    Case("no content", request + [("content-length", "0")]), Case("bytes above ASCII", request + [("a", "grün")]),
    Case("a long value", request + [("a", String(repeating: "~ !", count: 40))]),
  ]

  @Test("What only looks odd is taken", arguments: oddCases)
  func taken(_ example: Case) throws {
    let answer = try send(example.fields)
    #expect(answer.resets == [], "\(example.what)")
    #expect(answer.taken?.count == example.fields.count, "\(example.what)")
  }

  @Test("A field with a byte that none may have makes its request malformed, wherever the byte stands")
  func oddBytes() throws {
    let malformed = [UInt8(HTTP2ErrorCode.protocolError.rawValue)]
    for position in 0..<20 {
      for byte in ["\u{1}", "\u{0}", "\n", "\u{7f}"] {
        let value = String(repeating: "a", count: position) + byte + String(repeating: "a", count: 19 - position)
        #expect(try send(Self.request + [("odd", value)]).resets == malformed, "\(position) \(byte.unicodeScalars)")
      }
    }
    for name in ["b c", "b\u{1}", "", "grün", "a:b"] {
      #expect(try send(Self.request + [(name, "d")]).resets == malformed, "\(name)")
    }
  }

  @Test("Content that is not as long as it was said to be resets its stream", arguments: [0, 2, 4, 9])
  func contentLength(_ count: Int) throws {
    let answer = try send(Self.request + [("content-length", "3")], body: [UInt8](repeating: 1, count: count))
    #expect(answer.resets == [UInt8(HTTP2ErrorCode.protocolError.rawValue)])
    let right = try send(Self.request + [("content-length", "3")], body: [1, 2, 3])
    #expect(right.resets == [])
  }

  @Test("Trailers have no pseudo-fields, and end their stream")
  func trailers() throws {
    let cases: [(fields: Fields, flags: UInt8, isGood: Bool)] = [
      ([("a", "b")], 5, true), ([(":path", "/")], 5, false), ([("a", "b")], 4, false), ([("te", "x")], 5, false),
    ]
    for (fields, flags, isGood) in cases {
      let peer = try WrittenPeer()
      try peer.send(
        WrittenPeer.headers(1, end: false) + WrittenPeer.frame(1, flags: flags, stream: 1, Self.block(fields)))
      let told = peer.events().contains { if case .trailers = $0 { true } else { false } }
      #expect(told == isGood)
      #expect(try peer.answer().resets == (isGood ? [] : [UInt8(HTTP2ErrorCode.protocolError.rawValue)]))
    }
  }
}
