/// Changes texts of described values, by their role, and nothing else.
public struct TextRewriter: FieldVisitor {
  private let change: (TextRole, String) -> String

  public init(_ change: @escaping (TextRole, String) -> String) { self.change = change }

  /// Without secrets: a token is empty, the variables of an environment have names only.
  public static var redactor: TextRewriter { TextRewriter { $0 == .secret ? "" : $1 } }

  public var reads: Bool { false }
  public var assigns: Bool { true }
  public var goesByNumber: Bool { false }

  public func rewritten<D: Described>(_ value: D) -> D {
    var (value, visitor) = (value, self)
    do throws(FormatFault) {
      try value.describe(&visitor)
    } catch {
      preconditionFailure("\(D.schemaName) cannot be rewritten: \(error.found)")
    }
    return value
  }

  public mutating func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {}

  public mutating func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {}

  public mutating func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {}

  public mutating func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    value = value.map { change(role, $0) }
  }

  public mutating func choice<E: SchemaEnum>(
    _ number: UInt32, _ name: String, _ value: inout E?
  ) throws(FormatFault) {}

  public mutating func message<D: Described>(
    _ number: UInt32, _ name: String, _ value: inout D?
  ) throws(FormatFault) {
    value = value.map { rewritten($0) }
  }

  public mutating func messages<D: Described>(
    _ number: UInt32, _ name: String, _ values: inout [D]
  ) throws(FormatFault) {
    for place in values.indices { values[place] = rewritten(values[place]) }
  }

  public mutating func group(
    _ number: UInt32, _ name: String, _ isThere: inout Bool, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    if isThere { try fields(&self) }
  }

  public mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {}
  public mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {}
  public mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {}

  public mutating func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    values = values.mapValues { change(role, $0) }
  }
}

extension Record {
  /// What may leave the server: without attempt tokens, and without the values of environments.
  public var withoutSecrets: Record { TextRewriter.redactor.rewritten(self) }
}
