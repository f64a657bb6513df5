/// What reflection needs of a serialized `google.protobuf.FileDescriptorProto`: its imports, and the full names that it
/// declares. The field numbers are those of descriptor.proto.
struct FileOutline {
  private(set) var imports: [String] = []
  /// Services, methods, messages, fields, enums and their values, extensions.
  private(set) var symbols: [String] = []
  /// Messages only, including nested ones.
  private(set) var messages: [String] = []

  init(descriptor: [UInt8]) {
    let file = Fields(descriptor[...])
    let package = file.text(2)
    imports = file.all(3).map(Self.text)
    for message in file.all(4) { addMessage(message, in: package) }
    for enumeration in file.all(5) { addEnum(enumeration, in: package) }
    for service in file.all(6) { add(Fields(service), in: package, children: [2]) }
    for field in file.all(7) { add(Fields(field), in: package, children: []) }
  }

  private mutating func addMessage(_ bytes: ArraySlice<UInt8>, in scope: String) {
    let message = Fields(bytes)
    // Fields, extensions and oneofs.
    let name = add(message, in: scope, children: [2, 6, 8])
    messages.append(name)
    for nested in message.all(3) { addMessage(nested, in: name) }
    for enumeration in message.all(4) { addEnum(enumeration, in: name) }
  }

  private mutating func addEnum(_ bytes: ArraySlice<UInt8>, in scope: String) {
    let enumeration = Fields(bytes)
    add(enumeration, in: scope, children: [])
    // Values are siblings of their enum.
    for value in enumeration.all(2) { add(Fields(value), in: scope, children: []) }
  }

  /// Every declaration has its name in field 1.
  @discardableResult
  private mutating func add(_ declaration: Fields, in scope: String, children: [UInt64]) -> String {
    let name = Self.join(scope, declaration.text(1))
    symbols.append(name)
    for number in children {
      for child in declaration.all(number) { symbols.append(Self.join(name, Fields(child).text(1))) }
    }
    return name
  }

  private static func join(_ scope: String, _ name: String) -> String { scope.isEmpty ? name : "\(scope).\(name)" }

  fileprivate static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// The length-delimited fields of one encoded message; truncated data ends the sequence.
private struct Fields {
  private var fields: [(number: UInt64, bytes: ArraySlice<UInt8>)] = []

  init(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    while let tag = Self.varint(&rest) {
      switch tag & 7 {
      case 0:
        guard Self.varint(&rest) != nil else { return }
      case 1:
        rest = rest.dropFirst(8)
      case 2:
        guard let length = Self.varint(&rest), length <= UInt64(rest.count) else { return }
        fields.append((tag >> 3, rest.prefix(Int(length))))
        rest = rest.dropFirst(Int(length))
      case 5:
        rest = rest.dropFirst(4)
      default:
        return
      }
    }
  }

  func all(_ number: UInt64) -> [ArraySlice<UInt8>] { fields.filter { $0.number == number }.map(\.bytes) }

  func text(_ number: UInt64) -> String { FileOutline.text(fields.last { $0.number == number }?.bytes ?? []) }

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
}
