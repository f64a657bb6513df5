internal import MendHTTP2
internal import NIOCore

/// One buffer in which the sessions of a loop write what they send, one after the other.
///
/// A socket that takes everything at once gives the buffer back before the next session needs it; one that doesn't
/// keeps it, and the next is a new one. Used on its loop's thread alone.
final class Outbox {
  private var buffer = ByteBuffer()

  /// The size that a buffer is allocated with.
  private static let capacity = 64 * 1024
  /// What one write holds at most: a frame more must still fit.
  private static let limit = capacity - HTTP2Session.frameRoom
  /// Less than this is copied out, so that a peer that doesn't read can't hold many buffers with little in each.
  private static let worthKeeping = capacity / 4

  /// What the session has to send, at most 64 KiB of it; nil for nothing.
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
