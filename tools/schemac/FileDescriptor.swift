import Foundation

/// A file as `google.protobuf.FileDescriptorProto`, the form in which servers tell clients their schema.
///
/// Field numbers are those of google/protobuf/descriptor.proto; comments and options are left out but for the few that
/// change the wire or its reading.
struct FileDescriptor {
  private var bytes: [UInt8] = []

  static func base64(_ file: SchemaSource) -> String { Data(serialized(file)).base64EncodedString() }

  static func serialized(_ file: SchemaSource) -> [UInt8] {
    var out = FileDescriptor()
    out.text(1, file.path)
    if !file.package.isEmpty { out.text(2, file.package) }
    for dependency in file.imports { out.text(3, dependency.path) }
    for message in file.messages { out.message(4) { $0.write(message) } }
    for declaration in file.enums { out.message(5) { $0.write(declaration) } }
    for service in file.services { out.message(6) { $0.write(service) } }
    for (index, dependency) in file.imports.enumerated() where dependency.isPublic { out.number(10, index) }
    out.text(12, "proto3")
    return out.bytes
  }

  private mutating func write(_ message: MessageDeclaration) {
    text(1, message.name.text)
    // Every optional field gets a oneof of its own, behind the real ones: "synthetic oneofs".
    let optionals = message.fields.filter { $0.label == .optional }.map(\.name.text)
    var taken = Set(message.fields.map(\.name.text)).union(message.oneofs.map(\.name.text))
    for field in message.fields {
      let synthetic = optionals.firstIndex(of: field.name.text).map { message.oneofs.count + $0 }
      self.message(2) { $0.write(field, in: message, oneof: field.oneof ?? synthetic) }
    }
    for inner in message.messages { self.message(3) { $0.write(inner) } }
    for field in message.fields {
      guard case .map(let key, let value) = field.type else { continue }
      self.message(3) { out in
        out.text(1, field.entryName)
        out.message(2) { $0.writeEntryField("key", 1, .scalar(key)) }
        out.message(2) { $0.writeEntryField("value", 2, value) }
        out.message(7) { $0.number(7, 1) }
      }
    }
    for inner in message.enums { self.message(4) { $0.write(inner) } }
    if message.isDeprecated { self.message(7) { $0.number(3, 1) } }
    for oneof in message.oneofs { self.message(8) { $0.text(1, oneof.name.text) } }
    for name in optionals {
      // protoc's own way out where the schema uses the name.
      var synthetic = "_\(name)"
      while !taken.insert(synthetic).inserted { synthetic = "X\(synthetic)" }
      self.message(8) { $0.text(1, synthetic) }
    }
    for span in message.reserved.spans {
      self.message(9) { out in
        out.number(1, span.numbers.lowerBound)
        out.number(2, span.numbers.upperBound + 1)
      }
    }
    for name in message.reserved.names { text(10, name.text) }
  }

  private mutating func write(_ field: FieldDeclaration, in message: MessageDeclaration, oneof: Int?) {
    text(1, field.name.text)
    number(3, field.number)
    number(4, field.storageIsList ? 3 : 1)
    if case .map = field.type {
      number(5, 11)
      text(6, ".\(message.fullName).\(field.entryName)")
    } else {
      writeType(field.type)
    }
    if field.packed != nil || field.isDeprecated {
      self.message(8) { out in
        if let packed = field.packed { out.number(2, packed ? 1 : 0) }
        if field.isDeprecated { out.number(3, 1) }
      }
    }
    if let oneof { number(9, oneof) }
    text(10, field.camelCaseName)
    if field.label == .optional { number(17, 1) }
  }

  private mutating func writeEntryField(_ name: String, _ number: Int, _ type: FieldKind) {
    text(1, name)
    self.number(3, number)
    self.number(4, 1)
    writeType(type)
    text(10, name)
  }

  private mutating func writeType(_ type: FieldKind) {
    switch type {
    case .scalar(let scalar): number(5, Self.typeNumbers[scalar] ?? 0)
    case .message(let name):
      number(5, 11)
      text(6, ".\(name)")
    case .enumeration(let name):
      number(5, 14)
      text(6, ".\(name)")
    case .map, .unresolved: break
    }
  }

  private mutating func write(_ declaration: EnumDeclaration) {
    text(1, declaration.name.text)
    for value in declaration.values {
      message(2) { out in
        out.text(1, value.name.text)
        out.number(2, value.number)
        if value.isDeprecated { out.message(3) { $0.number(1, 1) } }
      }
    }
    if declaration.allowsAlias || declaration.isDeprecated {
      message(3) { out in
        if declaration.allowsAlias { out.number(2, 1) }
        if declaration.isDeprecated { out.number(3, 1) }
      }
    }
    for span in declaration.reserved.spans {
      // Inclusive at both ends, unlike a message's.
      message(4) { out in
        out.number(1, span.numbers.lowerBound)
        out.number(2, span.numbers.upperBound)
      }
    }
    for name in declaration.reserved.names { text(5, name.text) }
  }

  private mutating func write(_ service: ServiceDeclaration) {
    text(1, service.name.text)
    for method in service.methods {
      message(2) { out in
        out.text(1, method.name.text)
        if case .message(let name) = method.input { out.text(2, ".\(name)") }
        if case .message(let name) = method.output { out.text(3, ".\(name)") }
        if method.isDeprecated { out.message(4) { $0.number(33, 1) } }
        if method.streamsInput { out.number(5, 1) }
        if method.streamsOutput { out.number(6, 1) }
      }
    }
    if service.isDeprecated { message(3) { $0.number(33, 1) } }
  }

  private static let typeNumbers: [Scalar: Int] = [
    .double: 1, .float: 2, .int64: 3, .uint64: 4, .int32: 5, .fixed64: 6, .fixed32: 7, .bool: 8, .string: 9,
    .bytes: 12, .uint32: 13, .sfixed32: 15, .sfixed64: 16, .sint32: 17, .sint64: 18,
  ]

  // MARK: Wire

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func number(_ field: Int, _ value: Int) {
    varint(UInt64(field << 3))
    varint(UInt64(bitPattern: Int64(value)))
  }

  private mutating func text(_ field: Int, _ value: String) { payload(field, Array(value.utf8)) }

  private mutating func message(_ field: Int, _ write: (inout FileDescriptor) -> Void) {
    var inner = FileDescriptor()
    write(&inner)
    payload(field, inner.bytes)
  }

  private mutating func payload(_ field: Int, _ value: [UInt8]) {
    varint(UInt64(field << 3 | 2))
    varint(UInt64(value.count))
    bytes += value
  }
}

extension FieldDeclaration {
  fileprivate var storageIsList: Bool {
    if case .map = type { true } else { label == .repeated }
  }
}
