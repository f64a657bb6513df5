extension Reader {
  /// Merges a nested message into a field.
  @inlinable
  public mutating func readMessage<M: Message>(into message: inout M) throws(DecodingError) {
    let length = try readLength()
    let outerEnd = try enter(length)
    do throws(DecodingError) {
      try message.decode(from: &self)
    } catch {
      throw error.inside(M.protobufName)
    }
    leave(to: outerEnd)
  }

  /// Merges a nested message into a field that may be unset.
  @inlinable
  public mutating func readMessage<M: Message>(into field: inout M?) throws(DecodingError) {
    var message = field ?? M()
    field = nil
    try readMessage(into: &message)
    field = message
  }

  /// Merges a nested message into a field that can contain its own type.
  @inlinable
  public mutating func readMessage<M: Message>(into field: inout Boxed<M>) throws(DecodingError) {
    // Taken out of its box: a copy that the box still shares would be made anew at each occurrence.
    var message = field.take() ?? M()
    try readMessage(into: &message)
    field.wrappedValue = message
  }

  /// One element of a repeated field.
  @inlinable
  public mutating func readElement<F: FieldType>(_ type: F.Type, into list: inout [F.Value]) throws(DecodingError) {
    try charge(MemoryLayout<F.Value>.stride)
    list.append(try F.read(&self))
  }

  /// All elements of a packed field, or those that one of several such runs holds.
  @inlinable
  public mutating func readPacked<F: FieldType>(_ type: F.Type, into list: inout [F.Value]) throws(DecodingError) {
    let start = position
    let length = try readLength()
    if let width = F.wireType.width {
      guard length % width == 0 else {
        throw fault(.unevenPackedLength(length: length, width: width), at: start)
      }
      // The first run alone: room made for each of many short runs would copy the whole list as often.
      if list.isEmpty { list.reserveCapacity(length / width) }
    }
    let outerEnd = end
    end = position + length
    while position < end {
      try charge(MemoryLayout<F.Value>.stride)
      list.append(try F.read(&self))
    }
    end = outerEnd
  }

  /// One entry of a map: a message with the key as field 1 and the value as field 2, the later of equal keys wins.
  @inlinable
  public mutating func readEntry<K: MapKeyType, V: FieldType>(
    _ key: K.Type, _ value: V.Type, into map: inout [K.Value: V.Value]
  ) throws(DecodingError) {
    try charge(MemoryLayout<K.Value>.stride + MemoryLayout<V.Value>.stride)
    let length = try readLength()
    let outerEnd = try enter(length)
    var entryKey = K.zero
    var entryValue = V.zero
    while let tag = try nextTag() {
      switch tag {
      case 1 << 3 | K.wireType.rawValue: entryKey = try K.read(&self)
      case 2 << 3 | V.wireType.rawValue: try V.merge(&self, into: &entryValue)
      default: try skip(tag)
      }
    }
    map[entryKey] = entryValue
    leave(to: outerEnd)
  }

  /// Narrows the reader to a nested message, and returns the end of the outer one.
  @inlinable
  mutating func enter(_ length: Int) throws(DecodingError) -> Int {
    guard depthLeft > 0 else { throw fault(.tooDeep(limit: limits.depth), at: position) }
    depthLeft -= 1
    let outerEnd = end
    end = position + length
    return outerEnd
  }

  @inlinable
  mutating func leave(to outerEnd: Int) {
    depthLeft += 1
    end = outerEnd
  }

  @inlinable
  mutating func charge(_ bytes: Int) throws(DecodingError) {
    elementBytesLeft -= bytes
    guard elementBytesLeft >= 0 else { throw fault(.tooManyElements(limit: limits.elementBytes), at: position) }
  }
}

extension Reader {
  /// Keeps a field that the schema doesn't know, or knows with another wire type; its tag was just read.
  public mutating func readUnknown(_ tag: UInt32, into fields: inout UnknownFields) throws(DecodingError) {
    let payload = position
    try skip(tag)
    let count = position - payload + Writer.varintSize(UInt64(tag))
    guard count <= unknownBytesLeft else {
      throw fault(.tooManyUnknownBytes(limit: limits.unknownBytes), at: payload)
    }
    unknownBytesLeft -= count
    var rest = tag
    while rest >= 0x80 {
      fields.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    fields.bytes.append(UInt8(truncatingIfNeeded: rest))
    fields.bytes.append(contentsOf: copy(payload..<position))
  }

  /// Skips the payload of a field whose tag was just read. Groups are skipped in a loop, never by recursion.
  @usableFromInline
  mutating func skip(_ tag: UInt32) throws(DecodingError) {
    guard tag & 7 == WireType.startGroup.rawValue else { return try skipSimple(tag) }
    var open: [(field: UInt32, start: Int)] = [(tag >> 3, position)]
    while let group = open.last {
      let start = position
      guard let tag = try nextTag() else { throw fault(.unterminatedGroup(field: group.field), at: group.start) }
      switch tag & 7 {
      case WireType.startGroup.rawValue:
        guard open.count < depthLeft else { throw fault(.tooDeep(limit: limits.depth), at: start) }
        open.append((tag >> 3, position))
      case WireType.endGroup.rawValue:
        guard tag >> 3 == group.field else { throw fault(.unmatchedEndGroup(field: tag >> 3), at: start) }
        open.removeLast()
      default:
        try skipSimple(tag)
      }
    }
  }

  private mutating func skipSimple(_ tag: UInt32) throws(DecodingError) {
    switch WireType(rawValue: tag & 7) {
    case .varint: _ = try readVarint()
    case .fixed64: _ = try readFixed64()
    case .fixed32: _ = try readFixed32()
    case .lengthDelimited: position += try readLength()
    case .startGroup, .endGroup, nil: throw fault(.unmatchedEndGroup(field: tag >> 3), at: position)
    }
  }
}

/// How the end of a payload is found.
public enum WireType: UInt32, Sendable {
  case varint = 0, fixed64, lengthDelimited, startGroup, endGroup, fixed32

  /// Bytes of one value, where that is fixed.
  @inlinable
  var width: Int? {
    switch self {
    case .fixed32: 4
    case .fixed64: 8
    case .varint, .lengthDelimited, .startGroup, .endGroup: nil
    }
  }
}
