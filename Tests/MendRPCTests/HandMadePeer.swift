import Foundation
import Glibc
import Synchronization
import Testing

/// A server that does as its test says: frames are written by hand, over a blocking socket, a thread a connection.
final class HandMadePeer: Sendable {
  struct Frame {
    var type: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]

    static let (data, headers, reset, settings, ping, goAway) = (
      UInt8(0), UInt8(1), UInt8(3), UInt8(4), UInt8(6), UInt8(7)
    )
  }

  /// One connection that was accepted.
  final class Line: Sendable {
    /// Its place among those that the peer accepted, from 1.
    let number: Int
    private let descriptor: CInt
    /// Once it is closed, its number may be another socket's.
    private let isClosed = Mutex(false)

    init(_ descriptor: CInt, number: Int) {
      self.descriptor = descriptor
      self.number = number
    }

    func send(type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
      var bytes: [UInt8] = []
      for shift in [16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: payload.count >> shift)) }
      bytes += [type, flags]
      bytes += Self.word(stream) + payload
      _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    /// Bytes that are no frame.
    func send(_ text: String) {
      let bytes = Array(text.utf8)
      _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    /// Reads the preface and the client's SETTINGS, and says how many streams it takes.
    func greet(maxStreams: UInt32 = 100) -> Bool {
      guard read(24) != nil, next(Frame.settings) != nil else { return false }
      send(type: Frame.settings, [0, 3] + Self.word(maxStreams))
      return true
    }

    /// The next frame of this type, nil at the connection's end; others are passed over.
    func next(_ type: UInt8) -> Frame? {
      while let frame = nextFrame() {
        // An acknowledgement is none of what is waited for.
        if frame.type == type, type != Frame.settings || frame.flags == 0 { return frame }
      }
      return nil
    }

    private func nextFrame() -> Frame? {
      guard let head = read(9) else { return nil }
      let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      let stream = head[5...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7fff_ffff
      guard let payload = read(length) else { return nil }
      return Frame(type: head[3], flags: head[4], stream: stream, payload: payload)
    }

    /// Answers OK with this payload.
    func answer(_ stream: UInt32, _ payload: [UInt8]) {
      // :status 200, content-type application/grpc, both as literals or static entries.
      send(
        type: Frame.headers, flags: 4, stream: stream, [0x88, 0x0f, 0x10, 0x10] + Array("application/grpc".utf8))
      send(type: Frame.data, stream: stream, [0] + Self.word(UInt32(payload.count)) + payload)
      trailers(stream, [("grpc-status", "0")])
    }

    /// The end of a call; before any headers it needs `:status` and a content-type among the fields.
    func trailers(_ stream: UInt32, _ fields: [(String, String)], only: Bool = false) {
      var block: [UInt8] = only ? [0x88, 0x0f, 0x10, 0x10] + Array("application/grpc".utf8) : []
      for (name, value) in fields {
        block += [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
      }
      send(type: Frame.headers, flags: 5, stream: stream, block)
    }

    func goAway(last: UInt32, code: UInt32, _ text: String = "") {
      send(type: Frame.goAway, Self.word(last) + Self.word(code) + Array(text.utf8))
    }

    /// Waits until the client hangs up.
    func waitForEnd() { while nextFrame() != nil {} }

    /// Hangs up; the script finds the connection's end.
    func close() {
      isClosed.withLock { if !$0 { Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) } }
    }

    /// Gives the socket back, once.
    fileprivate func end() {
      isClosed.withLock { isClosed in
        guard !isClosed else { return }
        Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
        Glibc.close(descriptor)
        isClosed = true
      }
    }

    private func read(_ count: Int) -> [UInt8]? {
      var bytes = [UInt8](repeating: 0, count: count)
      var done = 0
      while done < count {
        let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress?.advanced(by: done), count - done, 0) }
        guard got > 0 else { return nil }
        done += got
      }
      return bytes
    }

    static func word(_ value: UInt32) -> [UInt8] {
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
    }
  }

  let port: Int
  private let listener: CInt
  private let lines = Mutex<[Line]>([])

  /// `script` runs on a thread of each connection, which is closed when it returns.
  init(_ script: @escaping @Sendable (Line) -> Void) throws {
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, size) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &size) == 0
      }
    }
    try #require(isBound)
    port = Int(UInt16(bigEndian: address.sin_port))
    Thread.detachNewThread { [self] in
      while true {
        let descriptor = accept(listener, nil, nil)
        guard descriptor >= 0 else {
          // Closed by the thread that uses it: before that its number can't become another listener's.
          close(listener)
          return
        }
        let line = lines.withLock { lines in
          let line = Line(descriptor, number: lines.count + 1)
          lines.append(line)
          return line
        }
        Thread.detachNewThread {
          script(line)
          line.end()
        }
      }
    }
  }

  var connectionCount: Int { lines.withLock { $0.count } }

  /// Nobody is accepted any more, and who is there is hung up on.
  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    for line in lines.withLock({ $0 }) { line.close() }
  }
}
