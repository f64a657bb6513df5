internal import MendHTTP2
internal import NIOCore

/// The buffer in which the sessions of a loop write their output, one after the other.
///
/// A socket that takes all bytes at once returns the buffer before the next session needs it; otherwise it keeps the
/// buffer, and the next session gets a new one. Used on its loop's thread alone.
final class Outbox {
  private var buffer = ByteBuffer()

  /// The size that a buffer is allocated with.
  private static let capacity = 64 * 1024
  /// The most bytes of one write; one more frame must still fit.
  private static let limit = capacity - HTTP2Session.frameRoom
  /// Smaller writes are copied, so that a peer that doesn't read can't hold many nearly empty buffers.
  private static let worthKeeping = capacity / 4

  /// The session's next output, at most 64 KiB; nil if there is none.
  func fill(from session: HTTP2Session) throws(HTTP2Error) -> ByteBuffer? {
    buffer.clear(minimumCapacity: Self.capacity)
    try buffer.writeWithOutputRawSpan(minimumWritableBytes: Self.capacity) { output throws(HTTP2Error) in
      try session.send(upTo: Self.limit, into: &output)
    }
    guard buffer.readableBytes > 0 else { return nil }
    guard buffer.readableBytes < Self.worthKeeping else { return buffer }
    return ByteBuffer(buffer: buffer)
  }
}
