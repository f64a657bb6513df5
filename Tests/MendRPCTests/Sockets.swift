import Foundation
import Glibc
import MendHTTP2
import Testing

/// Leaves a socket file behind that nobody listens on.
func bindAndForget(_ path: String) throws {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
  let result = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  try #require(result == 0)
}

/// A port of 127.0.0.1 that refuses connections for as long as this lives.
struct DeadPort: ~Copyable {
  let port: Int
  private let descriptor: Int32

  init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
      }
    }
    try #require(isBound)
    port = Int(UInt16(bigEndian: address.sin_port))
  }

  deinit {
    close(descriptor)
  }
}

/// A caller that says what it likes: a blocking socket and a bare session.
final class BareCaller {
  private let descriptor: Int32
  let session: HTTP2Session

  init(port: Int) throws {
    session = try HTTP2Session(role: .client, limits: HTTP2Limits(), memory: HTTP2Memory())
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(result == 0)
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit {
    close(descriptor)
  }

  /// What a response's header list or trailers say.
  struct Answer {
    var isTrailersOnly = false
    var fields: [String: String] = [:]
    var body: [UInt8] = []
    var code: HTTP2ErrorCode?
  }

  /// Sends a request and reads until its stream is closed, or the connection is (`code` is nil then).
  func call(_ path: String, _ fields: [(String, String)] = [("content-type", "application/grpc")], body: [UInt8]) throws
    -> Answer
  {
    var block = HeaderBlock()
    for (name, value) in [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")] + fields {
      block.append(name, value)
    }
    let handle = try session.request(block, endStream: false)
    session.write(handle) { $0 += body }
    session.finish(handle)
    var answer = Answer()
    while answer.code == nil {
      try flush()
      guard try receive() else { return answer }
      var events: [HTTP2Event] = []
      session.exchangeEvents(with: &events)
      for event in events {
        var block = HeaderBlock()
        switch event {
        case .headers(handle, _): session.exchangeHeaders(of: handle, with: &block)
        case .trailers(handle): session.exchangeTrailers(of: handle, with: &block)
        case .closed(handle, let code):
          session.withReceived(handle) { bytes in
            answer.body = bytes.withUnsafeBytes { Array($0) }
            return bytes.byteCount
          }
          answer.code = code
        default: break
        }
        for field in block.fields { answer.fields[block.text(field.name)] = block.text(field.value) }
      }
    }
    return answer
  }

  // MARK: Step by step

  /// Last stream ids of the GOAWAYs that were read.
  private(set) var goAways: [Int32] = []
  /// Streams that are over.
  private(set) var ended: Set<StreamHandle> = []
  private var answers: [StreamHandle: Answer] = [:]

  /// Sends a request and waits for nothing.
  func open(
    _ path: String, fields: [(String, String)] = [("content-type", "application/grpc")], body: [UInt8],
    endStream: Bool = true
  ) throws -> StreamHandle {
    var block = HeaderBlock()
    for (name, value) in [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")] + fields {
      block.append(name, value)
    }
    let handle = try session.request(block, endStream: false)
    session.write(handle) { $0 += body }
    if endStream { session.finish(handle) }
    try flush()
    return handle
  }

  /// Sends so many requests in one packet and waits for nothing.
  func openAtOnce(_ path: String, body: [UInt8], count: Int) throws {
    var block = HeaderBlock()
    for (name, value) in [
      (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
      ("content-type", "application/grpc"),
    ] {
      block.append(name, value)
    }
    for _ in 0..<count {
      let handle = try session.request(block, endStream: false)
      session.write(handle) { $0 += body }
      session.finish(handle)
    }
    try flush()
  }

  /// Reads until a condition on the bytes holds, without telling the session.
  func bytes(until isEnough: ([UInt8]) -> Bool) throws -> [UInt8] {
    var all: [UInt8] = []
    while !isEnough(all) {
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      try #require(count > 0)
      all += buffer[..<count]
    }
    return all
  }

  /// Tells the session what was read earlier, and sends its answers.
  func understand(_ bytes: [UInt8]) throws {
    try session.receive(bytes.span.bytes, now: 0)
    note()
    try flush()
  }

  /// Reads until a condition holds, or the connection ends; what is known of the streams by then.
  func answers(until isEnough: ([StreamHandle: Answer]) -> Bool) throws -> [StreamHandle: Answer] {
    while !isEnough(answers) {
      try flush()
      guard try receive() else { break }
      note()
      try flush()
      note()
    }
    return answers
  }

  private func note() {
    var events: [HTTP2Event] = []
    session.exchangeEvents(with: &events)
    for event in events {
      switch event {
      case .headers(let handle, let endStream):
        var block = HeaderBlock()
        session.exchangeHeaders(of: handle, with: &block)
        note(block, of: handle)
        answers[handle]?.isTrailersOnly = endStream
      case .trailers(let handle):
        var block = HeaderBlock()
        session.exchangeTrailers(of: handle, with: &block)
        note(block, of: handle)
      case .closed(let handle, let code):
        session.withReceived(handle) { bytes in
          answers[handle, default: Answer()].body = bytes.withUnsafeBytes { Array($0) }
          return bytes.byteCount
        }
        answers[handle, default: Answer()].code = code
        ended.insert(handle)
        session.release(handle)
      case .goAway(let last, _): goAways.append(last)
      default: break
      }
    }
  }

  private func note(_ block: HeaderBlock, of handle: StreamHandle) {
    for field in block.fields {
      answers[handle, default: Answer()].fields[block.text(field.name)] = block.text(field.value)
    }
  }

  func hangUp() {
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  func flush() throws {
    try session.send(upTo: 1 << 20) { span in
      span.withUnsafeBytes { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
  }

  /// Reads once; false at the connection's end.
  func receive() throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return false }
    try session.receive(buffer.span.bytes.extracting(first: count), now: 0)
    return true
  }
}
