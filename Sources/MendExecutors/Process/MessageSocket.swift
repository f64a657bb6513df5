internal import CProcess
internal import Glibc
internal import MendCore

/// One end of a local socket that keeps messages apart and carries descriptors; all calls block.
struct MessageSocket: ~Copyable, Sendable {
  private let descriptor: Descriptor

  init(owning rawValue: Int32) { descriptor = Descriptor(owning: rawValue) }

  struct Pair: ~Copyable {
    let one: MessageSocket
    let other: MessageSocket

    /// The other one is closed.
    consuming func takeOne() -> MessageSocket { one }
  }

  static func pair() throws(SystemError) -> Pair {
    var one: Int32 = -1
    var other: Int32 = -1
    let code = unsafe cprocess_message_pair(&one, &other)
    guard code == 0 else { throw SystemError("socketpair", code: code) }
    return Pair(one: MessageSocket(owning: one), other: MessageSocket(owning: other))
  }

  var rawDescriptor: Int32 { descriptor.rawValue }

  /// What a call may take from now on; more is an error (EAGAIN).
  borrowing func setPatience(_ patience: Duration) throws(SystemError) {
    let code = cprocess_message_patience(descriptor.rawValue, Int32(clamping: patience.milliseconds))
    if code != 0 { throw SystemError("setsockopt", code: code) }
  }

  /// The same of sending alone.
  borrowing func setSendingPatience(_ patience: Duration) throws(SystemError) {
    let code = cprocess_message_sending_patience(descriptor.rawValue, Int32(clamping: patience.milliseconds))
    if code != 0 { throw SystemError("setsockopt", code: code) }
  }

  /// Sending to this end fails from now on; what was sent before is received yet.
  borrowing func endReceiving() { _ = shutdown(descriptor.rawValue, Int32(SHUT_RD)) }

  borrowing func send(_ bytes: [UInt8], with rawDescriptor: Int32? = nil) throws(SystemError) {
    let code = unsafe bytes.withUnsafeBytes { buffer in
      unsafe cprocess_message_send(descriptor.rawValue, buffer.baseAddress, buffer.count, rawDescriptor ?? -1)
    }
    if code != 0 { throw SystemError("sendmsg", code: code) }
  }

  struct Message: ~Copyable {
    let bytes: [UInt8]
    let descriptor: Descriptor?

    consuming func takeDescriptor() -> Descriptor? { descriptor }
  }

  /// Nil when the other end was closed.
  borrowing func receive(limit: Int) throws(SystemError) -> Message? {
    var bytes = [UInt8](repeating: 0, count: limit)
    var raw: Int32 = -1
    let count = unsafe bytes.withUnsafeMutableBytes { buffer in
      unsafe cprocess_message_receive(descriptor.rawValue, buffer.baseAddress, buffer.count, &raw)
    }
    // A reset says the same as an end: who was there is gone.
    if count == 0 || count == -Int(ECONNRESET) { return nil }
    guard count > 0 else { throw SystemError("recvmsg", code: Int32(-count)) }
    bytes.removeLast(limit - count)
    return Message(bytes: bytes, descriptor: raw < 0 ? nil : Descriptor(owning: raw))
  }
}
