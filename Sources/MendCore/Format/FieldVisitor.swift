/// Reads or writes a value's fields, as a `Described` value hands them over. A class for each form: bytes, JSON, a copy
/// without secrets.
///
/// Whoever reads assigns each value, nil or empty where the field is absent. `isOptional` fields are told apart from those
/// that hold zero or nothing; others are not written then. Not generic, so that a description is compiled once: a call
/// for each field is what it costs.
open class FieldVisitor {
  /// Values are made of what is read.
  public final let reads: Bool
  /// Values may be others afterwards.
  public final let assigns: Bool
  /// Fields stand by ascending number: one that is handed over after a higher one is not found, or stands out of order.
  public final let goesByNumber: Bool

  /// Only texts may be others afterwards: what holds none need not be handed over.
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

  /// Goes into a message: the fields that follow are its own, until `leave`. Answers false where there is none to read.
  ///
  /// - Parameter element: Its place in a list; nil for a field of its own.
  open func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool { true }

  open func leave() throws(FormatFault) {}

  /// Whether the field is no longer found, or not there: the fields go by number, and a higher one comes next.
  open func isPast(_ number: UInt32) -> Bool { false }

  /// Whether nothing is left to read of the message at hand; false where that is not known.
  public final var isAtEnd: Bool { isPast(.max - 1) }

  /// Two cases of a union stand there.
  open func refuseSecond(_ name: String) throws(FormatFault) {
    throw FormatFault(.damaged, "\(name) stands beside another of which one is set")
  }
}
