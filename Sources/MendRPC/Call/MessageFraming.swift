/// gRPC's length-prefixed messages: one byte that says whether the payload is compressed, four that say how long it is.
enum MessageFraming {
  static let prefixBytes = 5

  enum Scan {
    /// More bytes are needed.
    case incomplete
    /// The payload of the message that begins `bytes`.
    case payload(Range<Int>)
    /// The same, compressed.
    case gzip(Range<Int>)
  }

  /// Looks at what begins at `bytes`. The length is checked against `limit` before anything is kept for it.
  static func scan(
    _ bytes: RawSpan, limit: Int, encoding: MessageEncoding, who: String
  ) throws(RPCError) -> Scan {
    guard bytes.byteCount >= prefixBytes else { return .incomplete }
    let flag = unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
    let length = Int(UInt32(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 1, as: UInt32.self)))
    guard flag == 0 || (flag == 1 && encoding == .gzip) else {
      throw RPCError(
        .internal,
        flag == 1
          ? "\(who) is compressed, but its call names no grpc-encoding"
          : "\(who) begins with flag \(flag); only 0 and 1 are known")
    }
    guard length <= limit else {
      throw RPCError.exhausted("message_bytes", "\(who) has \(length) bytes; at most \(limit) are taken")
    }
    guard bytes.byteCount - prefixBytes >= length else { return .incomplete }
    let range = prefixBytes..<(prefixBytes + length)
    return flag == 0 ? .payload(range) : .gzip(range)
  }

  /// Appends prefix and payload; compressed when `policy`, asked after the payload was written, says so.
  @inline(__always)
  static func append<E: Error>(
    to buffer: inout [UInt8], as policy: @autoclosure () -> CompressionPolicy = .none,
    _ payload: (inout [UInt8]) throws(E) -> Void
  ) throws(E) {
    let start = buffer.count
    // One by one: that is how it costs least.
    for _ in 0..<prefixBytes { buffer.append(0) }
    do {
      try payload(&buffer)
    } catch {
      buffer.removeLast(buffer.count - start)
      throw error
    }
    let policy = policy()
    if policy.encoding == .gzip { compress(&buffer, from: start, minBytes: policy.minBytes) }
    let length = UInt32(clamping: buffer.count - start - prefixBytes)
    var bytes = buffer.mutableSpan
    bytes[start + 1] = UInt8(truncatingIfNeeded: length >> 24)
    bytes[start + 2] = UInt8(truncatingIfNeeded: length >> 16)
    bytes[start + 3] = UInt8(truncatingIfNeeded: length >> 8)
    bytes[start + 4] = UInt8(truncatingIfNeeded: length)
  }

  @inline(never)
  private static func compress(_ buffer: inout [UInt8], from start: Int, minBytes: Int) {
    let payload = start + prefixBytes
    guard buffer.count - payload >= max(1, minBytes) else { return }
    var compressed: [UInt8] = []
    guard Gzip.compress(buffer.span.bytes.extracting(payload..<buffer.count), to: &compressed) else { return }
    buffer.replaceSubrange(payload..., with: compressed)
    buffer[start] = 1
  }
}
