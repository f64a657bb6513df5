/// A value that describes its fields, one by one, to a visitor that reads or writes them.
///
/// The description is beside the value's declaration, with a line for each field. It is the only place that spells a
/// field of the journal: MendJournal's visitors make bytes and JSON of it, and values of those. Numbers and names never
/// change. A new field takes a number that was never used, and its default means what its absence meant before.
public protocol Described {
  /// The message's name in the journal's schema: `JournalEvidence`.
  static var schemaName: String { get }
  /// A value to read into. Reading assigns every field that `describe` names.
  static var blank: Self { get }
  /// Hands each field to the visitor, by ascending number.
  ///
  /// - Throws: The visitor's errors, and when reading, `FormatFault` for what is missing or unknown.
  mutating func describe(_ v: FieldVisitor) throws(FormatFault)
}

/// A value with a row of its own in the store. The version of Mend that wrote it is among its fields.
package protocol RowValue {
  static var schemaName: String { get }
  static var blank: Self { get }
  /// The number of the field `written_by`.
  static var writtenByNumber: UInt32 { get }
  mutating func describe(_ v: FieldVisitor, writtenBy: inout String) throws(FormatFault)
}

// A name in the schema follows from the type's own, unless the type gives another.

extension Described { package static var schemaName: String { "Journal\(Self.self)" } }

extension RowValue { package static var schemaName: String { "Journal\(Self.self)" } }

extension SchemaEnum { package static var schemaName: String { "mend.v1.\(Self.self)" } }

/// Why a value cannot be read.
public struct FormatFault: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// A fact, a value or a field that this version does not have: "an unknown fact", "no value 9 of mend.v1.TierStatus".
    case unknown
    /// Something that no version writes.
    case damaged
  }

  public var kind: Kind
  public var found: String
  /// The sequence of the record at fault, if it could be read.
  public var sequence: UInt64?

  public init(_ kind: Kind, _ found: String) {
    self.kind = kind
    self.found = found
  }

  public init(_ found: String) { self.init(.unknown, found) }

  /// `record 7 has an unknown fact, which this version does not know`.
  public var description: String {
    let place = sequence.map { "record \($0)" } ?? "it"
    return kind == .damaged
      ? "\(place) is damaged: \(found)" : "\(place) has \(found), which this version does not know"
  }
}

/// An enum of the schema, such as `mend.v1.FailureCause`. The journal has its values' numbers.
public protocol SchemaEnum: Hashable, Sendable {
  /// The enum's name: `mend.v1.FailureCause`.
  static var schemaName: String { get }
  /// Nil for a number that no value has.
  init?(number: Int32)
  /// Nil for a name that no value has.
  init?(schemaName: String)
  var number: Int32 { get }
  /// The value's name in lower case, without the enum's: `oom`.
  var name: String { get }
}

/// The form of a whole number in protobuf.
public enum NumberForm: Sendable {
  case int32, int64, uint32, uint64, fixed64
}

/// The kind of a text, which decides who may see or change it.
public enum TextRole: Sendable {
  /// A name or an id.
  case plain
  /// A sentence for people: no decision reads it.
  case prose
  /// What another program said: a line on stderr, an executor's words.
  case quoted
  /// A token or the like, which never leaves the server.
  case secret
}
