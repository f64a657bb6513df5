package import MendCore
package import MendProtobuf

/// Writes described values as JSON: the schema's names, short enum names, defaults included, what is unset left out.
package final class FieldJSONWriter: FieldVisitor {
  private static let options = JSONEncodingOptions()
  private var objects = [Object()]

  /// An object that is being written.
  private struct Object {
    var name = ""
    /// It is an element of a list.
    var isElement = false
    var members: [JSONObject.Member] = []
    /// The list whose elements are being written.
    var list: (name: String, values: [JSONValue])?

    mutating func add(_ name: String, _ value: JSONValue) {
      close()
      members.append(JSONObject.Member(name, value))
    }

    mutating func close() {
      guard let list else { return }
      members.append(JSONObject.Member(list.name, .array(list.values)))
      self.list = nil
    }

    var value: JSONValue {
      var whole = self
      whole.close()
      return .object(JSONObject(unique: whole.members))
    }
  }

  private init() { super.init(reads: false, assigns: false) }

  package static func value<D: Described>(_ value: D) -> JSONValue {
    let writer = FieldJSONWriter()
    var value = value
    do throws(FormatFault) {
      try value.describe(writer)
    } catch {
      preconditionFailure("\(D.schemaName) cannot be written: \(error.found)")
    }
    return writer.objects[0].value
  }

  private func add(_ name: String, _ value: JSONValue) { objects[objects.count - 1].add(name, value) }

  package override func list(_ number: UInt32, _ name: String) throws(FormatFault) {
    objects[objects.count - 1].close()
    objects[objects.count - 1].list = (name, [])
  }

  package override func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool {
    objects.append(Object(name: name, isElement: element != nil))
    return true
  }

  package override func leave() throws(FormatFault) {
    guard let object = objects.popLast() else { return }
    if object.isElement {
      objects[objects.count - 1].list?.values.append(object.value)
    } else {
      add(object.name, object.value)
    }
  }

  package override func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value else { return }
    switch form {
    case .uint64, .fixed64: add(name, UInt64Field.json(UInt64(bitPattern: value), Self.options))
    case .int32, .int64, .uint32: add(name, .integer(value))
    }
  }

  package override func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    if let value { add(name, DoubleField.json(value, Self.options)) }
  }

  package override func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    if let value { add(name, .bool(value)) }
  }

  package override func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    if let value { add(name, .string(value)) }
  }

  package override func choice(
    _ number: UInt32, _ name: String, _ value: inout Int32?, of names: any SchemaEnum.Type
  ) throws(FormatFault) {
    guard let value else { return }
    add(name, names.init(number: value).map { .string($0.name) } ?? .integer(Int64(value)))
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    add(name, .array(values.map { .integer(Int64($0)) }))
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    add(name, .array(values.map { .integer(Int64($0)) }))
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    add(name, .array(values.map { .integer($0) }))
  }

  package override func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    let sorted = values.sorted { StringField.precedes($0.key, $1.key) }
    add(name, .object(JSONObject(unique: sorted.map { JSONObject.Member($0.key, .string($0.value)) })))
  }
}
