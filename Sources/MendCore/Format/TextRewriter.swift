/// Changes the texts of described values by their roles, and nothing else.
package final class TextRewriter: FieldVisitor {
  private let change: (TextRole, String) -> String

  package init(_ change: @escaping (TextRole, String) -> String) {
    self.change = change
    super.init(reads: false, assigns: true)
  }

  /// Without secrets: a token is empty, the variables of an environment have names only.
  package static var redactor: TextRewriter { TextRewriter { $0 == .secret ? "" : $1 } }

  package func rewritten<D: Described>(_ value: D) -> D {
    var value = value
    do throws(FormatFault) {
      try value.describe(self)
    } catch {
      preconditionFailure("\(D.schemaName) cannot be rewritten: \(error.found)")
    }
    return value
  }

  package override func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    value = value.map { change(role, $0) }
  }

  package override func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    values = values.mapValues { change(role, $0) }
  }
}

extension Record {
  /// The record as it may leave the server: without attempt tokens and the values of environments.
  package var withoutSecrets: Record { TextRewriter.redactor.rewritten(self) }
}
