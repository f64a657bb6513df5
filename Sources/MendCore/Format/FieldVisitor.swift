/// Reads or writes the fields that a `Described` value hands over. There is a class for each form: bytes, JSON, a copy
/// without secrets.
///
/// A visitor that reads assigns each value: nil or empty if the field is absent. An `isOptional` field can be absent, zero
/// or empty; another one is not written if it is zero or empty. Visitors are classes, not generic parameters, so that
/// each description is compiled once.
open class FieldVisitor {
  /// Whether values are made of what is read.
  public final let reads: Bool
  /// Whether values may have changed after a visit.
  public final let assigns: Bool
  /// Whether fields have to be handed over by ascending number.
  public final let goesByNumber: Bool

  /// Whether only texts may change, so that values without texts need not be handed over.
  public final var rewrites: Bool { assigns && !reads }

  public init(reads: Bool, assigns: Bool, goesByNumber: Bool = false) {
    self.reads = reads
    self.assigns = assigns
    self.goesByNumber = goesByNumber
  }

  open func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {}

  open func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {}

  open func flag(_ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool) throws(FormatFault) {}

  open func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {}

  /// A value of an enum by its number; nil where none is set.
  open func choice(
    _ number: UInt32, _ name: String, _ value: inout Int32?, of names: any SchemaEnum.Type
  ) throws(FormatFault) {}

  open func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {}
  open func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {}
  open func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {}

  open func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {}

  /// A list whose elements are entered next, one by one.
  open func list(_ number: UInt32, _ name: String) throws(FormatFault) {}

  /// Enters a message, whose fields follow until `leave`. False if there is none to read.
  ///
  /// - Parameter element: Its place in a list; nil for a field of its own.
  open func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool { true }

  open func leave() throws(FormatFault) {}

  /// Whether the field cannot follow any more, because the next one has a higher number.
  open func isPast(_ number: UInt32) -> Bool { false }

  /// Whether nothing is left to read of the message at hand; false where that is not known.
  public final var isAtEnd: Bool { isPast(.max - 1) }

  /// Called when a message has two cases of a union.
  open func refuseSecond(_ name: String) throws(FormatFault) {
    throw FormatFault(.damaged, "\(name) stands beside another of which one is set")
  }
}
