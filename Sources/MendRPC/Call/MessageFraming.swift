/// gRPC's length-prefixed messages: one byte for the compression, four for the payload's length.
enum MessageFraming {
  static let prefixBytes = 5

  enum Scan {
    /// More bytes are needed.
    case incomplete
    /// The range of the first message's payload.
    case payload(Range<Int>)
    /// The range of the first message's compressed payload.
    case gzip(Range<Int>)
  }

  /// Reads the prefix of the first message in `bytes`. A length above `limit` is refused before the message arrives.
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
      throw .exhausted(.messageBytes, "\(who) has \(length) bytes; at most \(limit) are taken")
    }
    guard bytes.byteCount - prefixBytes >= length else { return .incomplete }
    let range = prefixBytes..<(prefixBytes + length)
    return flag == 0 ? .payload(range) : .gzip(range)
  }

  /// Appends a message. `policy` is asked after `payload` has written it.
  @inline(__always)
  static func append<E: Error>(
    to buffer: inout [UInt8], as policy: @autoclosure () -> CompressionPolicy = .none,
    _ payload: (inout [UInt8]) throws(E) -> Void
  ) throws(E) {
    let start = buffer.count
    // One by one is the cheapest way.
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
