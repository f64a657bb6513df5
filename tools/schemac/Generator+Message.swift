extension Generator {
  func write(_ message: MessageDeclaration, to out: inout SwiftText) {
    out.line()
    writeType(message, to: &out)
    writeCodec(message, to: &out)
  }

  private func writeType(_ message: MessageDeclaration, to out: inout SwiftText) {
    out.doc(message.doc, isDeprecated: message.isDeprecated)
    let conformances = [runtime("Message")] + (rpcModule == nil ? [] : [rpc("RPCMessage")])
    let simpleName = names.type(message.fullName).split(separator: ".").last.map(String.init) ?? message.name.text
    out.block("public struct \(simpleName): \(conformances.joined(separator: ", "))") { out in
      out.line("public static let protobufName = \(SwiftText.quoted(message.fullName))")
      out.line()
      var writtenOneofs: Set<Int> = []
      for field in message.fields {
        if let oneof = field.oneof {
          guard writtenOneofs.insert(oneof).inserted else { continue }
          out.doc(message.oneofs[oneof].doc)
          let name = message.oneofs[oneof].name.text
          out.line("public var \(SwiftNames.property(name)): \(SwiftNames.typeName(message.oneofs[oneof]))?")
        } else {
          out.doc(field.doc, isDeprecated: field.isDeprecated)
          out.line(property(field, in: message))
        }
      }
      out.line("public var unknownFields = \(runtime("UnknownFields"))()")
      out.line()
      out.line("public init() {}")
      for index in message.oneofs.indices { writeOneof(index, of: message, to: &out) }
      for inner in message.enums { write(inner, to: &out) }
      for inner in message.messages {
        out.line()
        writeType(inner, to: &out)
      }
    }
  }

  private func property(_ field: FieldDeclaration, in message: MessageDeclaration) -> String {
    let name = SwiftNames.property(field.name.text)
    let type = valueType(field.type)
    switch field.storage {
    case .list: return "public var \(name): [\(type)] = []"
    case .map: return "public var \(name): \(type) = [:]"
    case .presence:
      let box = recursion.isRecursive(field, in: message) ? "@\(runtime("Boxed")) " : ""
      return "\(box)public var \(name): \(type)?"
    case .implicit:
      if case .enumeration = field.type { return "public var \(name) = \(type)()" }
      return "public var \(name): \(type) = \(zero(field.type))"
    case .oneof: return ""
    }
  }

  private func writeOneof(_ index: Int, of message: MessageDeclaration, to out: inout SwiftText) {
    let fields = message.fields.filter { $0.oneof == index }
    let isIndirect = fields.contains { recursion.isRecursive($0, in: message) }
    out.line()
    let header = "public \(isIndirect ? "indirect " : "")enum \(SwiftNames.typeName(message.oneofs[index]))"
    out.block("\(header): \(swift("Sendable")), \(swift("Hashable"))") { out in
      for field in fields {
        out.doc(field.doc, isDeprecated: field.isDeprecated)
        out.line("case \(SwiftNames.property(field.name.text))(\(valueType(field.type)))")
      }
    }
  }

  private func writeCodec(_ message: MessageDeclaration, to out: inout SwiftText) {
    out.line()
    out.block("extension \(names.type(message.fullName))") { out in
      if message.fields.isEmpty {
        out.line("public static let fieldNames: [\(runtime("FieldName"))] = []")
      } else {
        out.line("public static let fieldNames: [\(runtime("FieldName"))] = [")
        for field in message.fields {
          let name = SwiftText.quoted(field.name.text)
          out.line("  .init(\(field.number), \(name), camelCase: \(SwiftText.quoted(field.camelCaseName))),")
        }
        out.line("]")
      }
      out.line()
      writeDecode(message, to: &out)
      out.line()
      writeEncode(message, to: &out)
      out.line()
      writeEncodeJSON(message, to: &out)
      out.line()
      writeDecodeJSON(message, to: &out)
    }
    for inner in message.messages { writeCodec(inner, to: &out) }
  }

  // MARK: Binary

  private func writeDecode(_ message: MessageDeclaration, to out: inout SwiftText) {
    let signature = "public mutating func decode(from reader: inout \(runtime("Reader")))"
    out.block("\(signature) throws(\(runtime("DecodingError")))") { out in
      out.block("while let tag = try reader.nextTag()") { out in
        out.line("switch tag {")
        for field in message.fields { writeDecodeCases(field, in: message, to: &out) }
        out.line("default: try reader.readUnknown(tag, into: &self.unknownFields)")
        out.line("}")
      }
    }
  }

  private func writeDecodeCases(_ field: FieldDeclaration, in message: MessageDeclaration, to out: inout SwiftText) {
    let name = "self.\(SwiftNames.property(field.name.text))"
    let tag = field.number << 3 | wireType(field.type)
    let codec = codec(field.type)
    switch field.storage {
    case .list:
      out.line("case \(tag): try reader.readElement(\(codec).self, into: &\(name))")
      if field.type.canBePacked {
        out.line("case \(field.number << 3 | 2): try reader.readPacked(\(codec).self, into: &\(name))")
      }
    case .map(let key):
      out.line("case \(tag): try reader.readEntry(\(self.codec(.scalar(key))).self, \(codec).self, into: &\(name))")
    case .presence, .implicit:
      if case .message = field.type {
        let isBoxed = recursion.isRecursive(field, in: message)
        let target = isBoxed ? "self._\(SwiftNames.camelCase(field.name.text))" : name
        out.line("case \(tag): try reader.readMessage(into: &\(target))")
      } else {
        out.line("case \(tag): \(name) = try \(codec).read(&reader)")
      }
    case .oneof(let index):
      let oneof = "self.\(SwiftNames.property(message.oneofs[index].name.text))"
      let member = SwiftNames.property(field.name.text)
      out.line("case \(tag):")
      if case .message(let type) = field.type {
        out.line("  var member = \(names.type(type))()")
        // The member is emptied before it grows: what it shares would be copied at each occurrence.
        out.line("  if case .\(member)(let current)? = \(oneof) {")
        out.line("    member = current")
        out.line("    \(oneof) = nil")
        out.line("  }")
        out.line("  try reader.readMessage(into: &member)")
        out.line("  \(oneof) = .\(member)(member)")
      } else {
        out.line("  \(oneof) = .\(member)(try \(codec).read(&reader))")
      }
    }
  }

  /// Descending: the writer goes from the message's end to its start.
  private func writeEncode(_ message: MessageDeclaration, to out: inout SwiftText) {
    out.block("public func encode(to writer: inout \(runtime("Writer")))") { out in
      out.line("writer.unknown(self.unknownFields)")
      var writtenOneofs: Set<Int> = []
      for field in message.fields.sorted(by: { $0.number > $1.number }) {
        let name = "self.\(SwiftNames.property(field.name.text))"
        let codec = codec(field.type)
        let tag = field.number << 3 | (field.isPacked ? 2 : wireType(field.type))
        switch field.storage {
        case .list: out.line("writer.\(field.isPacked ? "packed" : "repeated")(\(codec).self, \(name), tag: \(tag))")
        case .map(let key):
          out.line("writer.map(\(self.codec(.scalar(key))).self, \(codec).self, \(name), tag: \(tag))")
        case .presence: out.line("writer.optional(\(codec).self, \(name), tag: \(tag))")
        case .implicit: out.line("writer.implicit(\(codec).self, \(name), tag: \(tag))")
        case .oneof(let index):
          if writtenOneofs.insert(index).inserted {
            writeOneofSwitch(index, of: message, to: &out) { member, field in
              let tag = field.number << 3 | wireType(field.type)
              return "writer.optional(\(self.codec(field.type)).self, \(member), tag: \(tag))"
            }
          }
        }
      }
    }
  }

  private func writeOneofSwitch(
    _ index: Int, of message: MessageDeclaration, to out: inout SwiftText,
    _ statement: (_ member: String, FieldDeclaration) -> String
  ) {
    out.line("switch self.\(SwiftNames.property(message.oneofs[index].name.text)) {")
    for field in message.fields where field.oneof == index {
      out.line("case .\(SwiftNames.property(field.name.text))(let member)?: \(statement("member", field))")
    }
    out.line("case nil: break")
    out.line("}")
  }

  // MARK: JSON

  private func writeEncodeJSON(_ message: MessageDeclaration, to out: inout SwiftText) {
    let signature = "public func encodeJSON(to json: inout \(runtime("JSONObjectBuilder")))"
    out.block("\(signature) throws(\(runtime("JSONEncodingError")))") { out in
      var writtenOneofs: Set<Int> = []
      for field in message.fields {
        let name = "self.\(SwiftNames.property(field.name.text))"
        let codec = codec(field.type)
        switch field.storage {
        case .list: out.line("try json.repeated(\(codec).self, \(name), \(field.number))")
        case .map(let key):
          out.line("try json.map(\(self.codec(.scalar(key))).self, \(codec).self, \(name), \(field.number))")
        case .presence: out.line("try json.optional(\(codec).self, \(name), \(field.number))")
        case .implicit: out.line("try json.implicit(\(codec).self, \(name), \(field.number))")
        case .oneof(let index):
          if writtenOneofs.insert(index).inserted {
            writeOneofSwitch(index, of: message, to: &out) { member, field in
              "try json.optional(\(self.codec(field.type)).self, \(member), \(field.number))"
            }
          }
        }
      }
    }
  }

  private func writeDecodeJSON(_ message: MessageDeclaration, to out: inout SwiftText) {
    let parameters = "field number: \(swift("Int32")), from json: \(runtime("JSONFieldReader"))"
    let signature = "public mutating func decodeJSON(\(parameters))"
    out.block("\(signature) throws(\(runtime("JSONDecodingError")))") { out in
      if message.fields.isEmpty { return }
      out.line("switch number {")
      for field in message.fields {
        let name = "self.\(SwiftNames.property(field.name.text))"
        let codec = codec(field.type)
        let start = "case \(field.number):"
        switch field.storage {
        case .list: out.line("\(start) \(name) = try json.repeated(\(codec).self)")
        case .map(let key): out.line("\(start) \(name) = try json.map(\(self.codec(.scalar(key))).self, \(codec).self)")
        case .presence: out.line("\(start) \(name) = try json.optional(\(codec).self)")
        case .implicit: out.line("\(start) \(name) = try json.implicit(\(codec).self)")
        case .oneof(let index):
          let oneof = SwiftNames.property(message.oneofs[index].name.text)
          let type = "\(names.type(message.fullName)).\(SwiftNames.typeName(message.oneofs[index]))"
          let wrap = "\(type).\(SwiftNames.property(field.name.text))"
          out.line("\(start) self.\(oneof) = try json.oneof(\(codec).self, \(wrap), over: self.\(oneof))")
        }
      }
      out.line("default: break")
      out.line("}")
    }
  }
}

/// How a field is kept in its struct.
enum FieldStorage {
  /// Absent and default are the same.
  case implicit
  case presence
  case list
  case map(key: Scalar)
  case oneof(Int)
}

extension FieldDeclaration {
  var storage: FieldStorage {
    if let oneof { return .oneof(oneof) }
    switch (type, label) {
    case (.map(let key, _), _): return .map(key: key)
    case (_, .repeated): return .list
    case (.message, _), (_, .optional): return .presence
    default: return .implicit
    }
  }

  /// Proto3 packs what can be, unless the schema says otherwise.
  var isPacked: Bool { label == .repeated && type.canBePacked && packed != false }
}
