/// Reads one message tree from bytes that it doesn't own.
///
/// Every read checks what is left of the innermost message first, so a fault is found before anything is allocated.
/// A reader is made here alone, lives within one call, is handed on as `inout` and can't be copied: that is why its
/// bytes outlive it. Wire format: protobuf.dev/programming-guides/encoding.
@safe
public struct Reader: ~Copyable {
  @usableFromInline let base: UnsafeRawPointer
  @usableFromInline var position = 0
  /// The end of the innermost message, never past the end of the bytes.
  @usableFromInline var end: Int
  @usableFromInline var depthLeft: Int
  @usableFromInline var elementBytesLeft: Int
  var unknownBytesLeft: Int
  @usableFromInline let limits: DecodingLimits

  private init(_ base: UnsafeRawPointer, count: Int, limits: DecodingLimits) {
    unsafe self.base = unsafe base
    self.limits = limits
    end = count
    depthLeft = limits.depth
    elementBytesLeft = limits.elementBytes
    unknownBytesLeft = limits.unknownBytes
  }

  static func read(
    _ bytes: RawSpan, limits: DecodingLimits, _ body: (inout Reader) throws(DecodingError) -> Void
  ) throws(DecodingError) {
    try unsafe bytes.withUnsafeBytes { buffer throws(DecodingError) in
      guard let base = buffer.baseAddress else { return }
      var reader = unsafe Reader(base, count: buffer.count, limits: limits)
      try body(&reader)
    }
  }

  /// The next field's tag, number times eight plus wire type; nil at the end of the message.
  @inlinable
  public mutating func nextTag() throws(DecodingError) -> UInt32? {
    guard position < end else { return nil }
    let start = position
    let tag = try readShortVarint()
    guard tag >= 8, tag <= UInt64(UInt32.max), tag & 7 <= 5 else { throw fault(.invalidTag(tag), at: start) }
    return UInt32(truncatingIfNeeded: tag)
  }

  @inlinable
  public mutating func readVarint() throws(DecodingError) -> UInt64 {
    guard position < end else { throw fault(.truncated(needed: 1, left: 0), at: position) }
    let first = byte(at: position)
    if first < 0x80 {
      position += 1
      return UInt64(first)
    }
    return try readLongVarint(bytesMax: 10)
  }

  /// A tag or a length: 32 bits, so five bytes at most, as C++ and upb have it.
  @inlinable
  mutating func readShortVarint() throws(DecodingError) -> UInt64 {
    guard position < end else { throw fault(.truncated(needed: 1, left: 0), at: position) }
    let first = byte(at: position)
    if first < 0x80 {
      position += 1
      return UInt64(first)
    }
    return try readLongVarint(bytesMax: 5)
  }

  @usableFromInline
  mutating func readLongVarint(bytesMax: Int) throws(DecodingError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let next = byte(at: position)
      position += 1
      // The tenth byte has room for one bit.
      if shift == 63, next > 1 { throw fault(.overlongVarint, at: start) }
      value |= UInt64(next & 0x7f) << shift
      if next < 0x80 { return value }
      if position - start == bytesMax { throw fault(.overlongVarint, at: start) }
      shift += 7
    }
    throw fault(.truncated(needed: end - start + 1, left: end - start), at: start)
  }

  @inlinable
  public mutating func readFixed32() throws(DecodingError) -> UInt32 {
    try need(4)
    let value = unsafe base.loadUnaligned(fromByteOffset: position, as: UInt32.self)
    position += 4
    return UInt32(littleEndian: value)
  }

  @inlinable
  public mutating func readFixed64() throws(DecodingError) -> UInt64 {
    try need(8)
    let value = unsafe base.loadUnaligned(fromByteOffset: position, as: UInt64.self)
    position += 8
    return UInt64(littleEndian: value)
  }

  /// A length prefix, checked against what is left of the message.
  @inlinable
  public mutating func readLength() throws(DecodingError) -> Int {
    let start = position
    let length = try readShortVarint()
    guard length <= UInt64(end - position) else {
      throw fault(.lengthPastEnd(length: length, left: end - position), at: start)
    }
    return Int(truncatingIfNeeded: length)
  }

  public mutating func readString() throws(DecodingError) -> String {
    let length = try readLength()
    if length == 0 { return "" }
    let text = unsafe UnsafeRawBufferPointer(start: base + position, count: length)
    // Not `String(validating:as:)`: that one makes generic metadata anew at every call.
    let string: String
    do {
      string = unsafe String(copying: try UTF8Span(validating: text.assumingMemoryBound(to: UInt8.self).span))
    } catch {
      throw fault(.invalidUTF8, at: position)
    }
    position += length
    return string
  }

  public mutating func readBytes() throws(DecodingError) -> [UInt8] {
    let length = try readLength()
    let value = copy(position..<position + length)
    position += length
    return value
  }

  @inlinable
  func need(_ count: Int) throws(DecodingError) {
    guard end - position >= count else {
      throw fault(.truncated(needed: count, left: end - position), at: position)
    }
  }

  /// The caller has checked that the index is below `end`.
  @inlinable
  func byte(at index: Int) -> UInt8 {
    unsafe base.load(fromByteOffset: index, as: UInt8.self)
  }

  func copy(_ range: Range<Int>) -> [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Not inlined, so that making the error doesn't enlarge each read.
  @usableFromInline @inline(never)
  func fault(_ fault: DecodingError.Fault, at offset: Int) -> DecodingError {
    DecodingError(fault, offset: offset)
  }
}
