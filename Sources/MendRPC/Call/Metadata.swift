internal import MendHTTP2
internal import MendProtobuf

/// Names and values that travel with a call, before its messages or after them.
///
/// Names are lower case; several values of one name keep their order. The value of a name that ends in `-bin` is bytes:
/// it is held here as they are and in base64 on the wire. The protocol's own names (those that begin with `:` or
/// `grpc-`, and `te`, `content-type`, `content-length`) are not metadata: they are never shown nor sent from here.
public struct Metadata: Sendable {
  /// The fields as on the wire, but with decoded `-bin` values. Fields of the protocol may be among them, and are
  /// skipped.
  var block: HeaderBlock

  public init() {
    block = HeaderBlock()
  }

  /// A received list that is known to hold no `-bin` field.
  init(sharing block: HeaderBlock) {
    self.block = block
  }

  public var isEmpty: Bool {
    !block.fields.contains { !block.isReserved($0) }
  }

  /// The first value of this name as text. Setting it replaces all of them; nil removes them.
  public subscript(_ name: String) -> String? {
    get { first(name).map { block.text($0.value) } }
    set {
      remove(name)
      if let newValue { add(newValue, for: name) }
    }
  }

  /// The first text value of a name that is written in lower case in the source: what a look-up on every call uses.
  public func text(of name: StaticString) -> String? {
    block.first(name).map { block.text($0.value) }
  }

  public func values(_ name: String) -> [String] {
    let name = name.lowercased()
    return block.fields.filter { matches($0, name) }.map { block.text($0.value) }
  }

  /// The first value of this name as bytes.
  public func binary(_ name: String) -> [UInt8]? {
    first(name).map { Array(block.bytes[$0.value]) }
  }

  public mutating func add(_ value: String, for name: String) {
    block.append(name.lowercased(), value)
  }

  /// Adds bytes; a name without the suffix `-bin` is given it, because nothing else can carry them.
  public mutating func addBinary(_ value: [UInt8], for name: String) {
    let name = name.lowercased()
    block.append((name.hasSuffix("-bin") ? name : name + "-bin").utf8, value)
  }

  public mutating func remove(_ name: String) {
    let name = name.lowercased()
    guard block.fields.contains(where: { matches($0, name) }) else { return }
    var kept = HeaderBlock()
    for field in block.fields where !matches(field, name) {
      kept.append(block.bytes[field.name], block.bytes[field.value])
    }
    block = kept
  }

  private func first(_ name: String) -> HeaderBlock.Field? {
    let name = name.lowercased()
    return block.fields.first { matches($0, name) }
  }

  private func matches(_ field: HeaderBlock.Field, _ name: String) -> Bool {
    field.name.count == name.utf8.count && block.bytes[field.name].elementsEqual(name.utf8)
      && !block.isReserved(field)
  }
}

extension Metadata: Sequence {
  public struct Field: Hashable, Sendable {
    public let name: String
    public let value: FieldValue
  }

  public enum FieldValue: Hashable, Sendable {
    case text(String)
    case binary([UInt8])
  }

  public func makeIterator() -> IndexingIterator<[Field]> {
    block.fields.filter { !block.isReserved($0) }.map { field in
      Field(
        name: block.text(field.name),
        value: block.isBinary(field)
          ? .binary(Array(block.bytes[field.value])) : .text(block.text(field.value)))
    }.makeIterator()
  }

  public var underestimatedCount: Int { 0 }
}

extension Metadata: Hashable {
  public static func == (a: Metadata, b: Metadata) -> Bool {
    Array(a) == Array(b)
  }

  public func hash(into hasher: inout Hasher) {
    for field in self { hasher.combine(field) }
  }
}

extension Metadata: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, String)...) {
    self.init()
    for (name, value) in elements { add(value, for: name) }
  }
}

extension Metadata: CustomStringConvertible {
  public var description: String {
    "[" + map { "\($0.name): \($0.value)" }.joined(separator: ", ") + "]"
  }
}

// MARK: On the wire

extension Metadata {
  /// Reads a received list; `-bin` values are decoded. Throws when one is not base64.
  init(receiving block: HeaderBlock) throws(RPCError) {
    guard block.fields.contains(where: { block.isBinary($0) }) else {
      self.block = block
      return
    }
    var decoded = HeaderBlock()
    for field in block.fields where !block.isReserved(field) {
      guard block.isBinary(field) else {
        decoded.append(block.bytes[field.name], block.bytes[field.value])
        continue
      }
      // Several values may have been joined by commas on their way.
      for part in block.bytes[field.value].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
        guard let value = Base64.decode(part) else {
          throw RPCError(.internal, "metadata \(block.text(field.name)) is not base64")
        }
        decoded.append(block.bytes[field.name], value)
      }
    }
    self.block = decoded
  }

  /// Appends these fields as they are sent. A text value that cannot stand in a header is percent-encoded.
  func append(to list: inout HeaderBlock) {
    for field in block.fields where !block.isReserved(field) {
      let value = block.bytes[field.value]
      if block.isBinary(field) {
        list.append(block.bytes[field.name], Base64.encode(value, as: .unpadded).utf8)
      } else if value.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) {
        list.append(block.bytes[field.name], value)
      } else {
        list.append(block.bytes[field.name], PercentEncoding.encode(value))
      }
    }
  }
}

extension HeaderBlock {
  func isBinary(_ field: Field) -> Bool {
    hasSuffix(field.name, "-bin")
  }

  /// Names that belong to the protocol, not to the call's user.
  func isReserved(_ field: Field) -> Bool {
    let name = field.name
    guard let first = bytes[name].first else { return true }
    switch first {
    case UInt8(ascii: ":"): return true
    case UInt8(ascii: "g"): return hasPrefix(name, "grpc-")
    case UInt8(ascii: "t"): return isName(field, "te")
    case UInt8(ascii: "c"): return isName(field, "content-type") || isName(field, "content-length")
    default: return false
    }
  }
}
