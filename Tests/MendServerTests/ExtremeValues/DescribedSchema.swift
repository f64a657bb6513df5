import MendAPI
import MendProtobuf

/// The messages and calls of the server's schemas, read from the descriptors that reflection serves: what is added to a
/// schema is here by itself.
struct DescribedSchema {
  struct Field: Hashable {
    var name: String
    var number: UInt64
    var type: FieldKind
    var isRepeated: Bool
    /// Of a message: its full name.
    var typeName: String
  }

  /// By how a value is written, as descriptor.proto numbers types.
  enum FieldKind: UInt64 {
    case double = 1
    case float, int64, uint64, int32, fixed64, fixed32, bool, string, group, message, bytes, uint32, `enum`, sfixed32,
      sfixed64, sint32, sint64
  }

  struct Message {
    var fields: [Field] = []
    var isMapEntry = false
  }

  /// By full name.
  private(set) var messages: [String: Message] = [:]
  /// The full name of a call's request, by `service/method`.
  private(set) var requests: [String: String] = [:]

  init(_ files: [SchemaFile] = Schema.files) {
    for file in files {
      let file = WireMessage(file.descriptor)
      let package = file.text(2)
      for message in file.messages(4) { add(message, in: package) }
      for service in file.messages(6) {
        for method in service.messages(2) {
          let service = package.isEmpty ? service.text(1) : "\(package).\(service.text(1))"
          requests["\(service)/\(method.text(1))"] = Self.plain(method.text(2))
        }
      }
    }
  }

  private mutating func add(_ message: WireMessage, in scope: String) {
    let name = scope.isEmpty ? message.text(1) : "\(scope).\(message.text(1))"
    var described = Message()
    described.isMapEntry = message.messages(7).contains { $0.number(7) == 1 }
    for field in message.messages(2) {
      guard let kind = FieldKind(rawValue: field.number(5) ?? 0) else { continue }
      described.fields.append(
        Field(
          name: field.text(1), number: field.number(3) ?? 0, type: kind, isRepeated: field.number(4) == 3,
          typeName: Self.plain(field.text(6))))
    }
    messages[name] = described
    for nested in message.messages(3) { add(nested, in: name) }
  }

  /// Without the dot that says that a name is a full one.
  private static func plain(_ name: String) -> String { String(name.drop { $0 == "." }) }

  /// Every way from a message to a field in it or below it. No message of a request holds itself.
  func paths(in message: String) -> [[Field]] {
    (messages[message]?.fields ?? []).flatMap { field -> [[Field]] in
      guard field.type == .message else { return [[field]] }
      return [[field]] + paths(in: field.typeName).map { [field] + $0 }
    }
  }
}

/// A message as what stands on the wire: fields that may be replaced one by one.
struct WireMessage {
  enum Value: Hashable {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes([UInt8])
  }

  private(set) var fields: [(number: UInt64, value: Value)] = []

  init(_ bytes: [UInt8] = []) {
    var rest = bytes[...]
    while let tag = Self.varint(&rest) {
      switch tag & 7 {
      case 0: fields.append((tag >> 3, .varint(Self.varint(&rest) ?? 0)))
      case 1: fields.append((tag >> 3, .fixed64(UInt64(Self.fixed(&rest, 8)))))
      case 5: fields.append((tag >> 3, .fixed32(UInt32(Self.fixed(&rest, 4)))))
      default:
        let length = Int(Self.varint(&rest) ?? 0)
        fields.append((tag >> 3, .bytes(Array(rest.prefix(length)))))
        rest = rest.dropFirst(length)
      }
    }
  }

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for (number, value) in fields {
      switch value {
      case .varint(let value):
        Self.append(number << 3, to: &bytes)
        Self.append(value, to: &bytes)
      case .fixed64(let value):
        Self.append(number << 3 | 1, to: &bytes)
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      case .bytes(let value):
        Self.append(number << 3 | 2, to: &bytes)
        Self.append(UInt64(value.count), to: &bytes)
        bytes += value
      case .fixed32(let value):
        Self.append(number << 3 | 5, to: &bytes)
        bytes += (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      }
    }
    return bytes
  }

  func messages(_ number: UInt64) -> [WireMessage] {
    fields.compactMap { field in
      guard field.number == number, case .bytes(let bytes) = field.value else { return nil }
      return WireMessage(bytes)
    }
  }

  func text(_ number: UInt64) -> String {
    guard case .bytes(let bytes)? = fields.last(where: { $0.number == number })?.value else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }

  func number(_ number: UInt64) -> UInt64? {
    guard case .varint(let value)? = fields.last(where: { $0.number == number })?.value else { return nil }
    return value
  }

  /// What a field has now.
  func values(_ path: ArraySlice<DescribedSchema.Field>) -> [Value] {
    guard let field = path.first else { return [] }
    if path.count == 1 { return fields.filter { $0.number == field.number }.map(\.value) }
    return messages(field.number).first?.values(path.dropFirst()) ?? []
  }

  /// Puts `values` in the place of all that the field has; on the way down the first message of each field is changed, and
  /// made where there is none.
  mutating func set(_ path: ArraySlice<DescribedSchema.Field>, to values: [Value]) {
    guard let field = path.first else { return }
    if path.count == 1 {
      fields.removeAll { $0.number == field.number }
      fields += values.map { (field.number, $0) }
      return
    }
    var nested = messages(field.number).first ?? WireMessage()
    nested.set(path.dropFirst(), to: values)
    if let index = fields.firstIndex(where: { $0.number == field.number }) {
      fields[index].value = .bytes(nested.bytes)
    } else {
      fields.append((field.number, .bytes(nested.bytes)))
    }
  }

  private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = bytes.popFirst(), shift < 64 {
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    return nil
  }

  private static func fixed(_ bytes: inout ArraySlice<UInt8>, _ count: Int) -> UInt64 {
    let value = bytes.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    bytes = bytes.dropFirst(count)
    return value
  }
}
