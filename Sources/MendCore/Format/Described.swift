/// A value that names its fields, one by one, for whoever reads or writes it.
///
/// A description stands beside the value's declaration, a line a field: the only place where a field of the journal is
/// spelt. MendJournal's visitors make bytes and JSON of it, and values of those. Numbers and names are for good: a field
/// is added with a number that was never used, and means what its absence meant before.
public protocol Described {
  /// The message's name in the journal's schema: `JournalEvidence`.
  static var schemaName: String { get }
  /// A value to read into. Reading assigns every field that `describe` names.
  static var blank: Self { get }
  /// Hands each field to the visitor, by ascending number.
  ///
  /// - Throws: What the visitor does; reading, for what is missing or unknown.
  mutating func describe(_ v: FieldVisitor) throws(FormatFault)
}

/// A value that has a row of its own in the store, with the version of Mend that wrote it among its fields.
public protocol RowValue {
  static var schemaName: String { get }
  static var blank: Self { get }
  /// The number of the field `written_by`.
  static var writtenByNumber: UInt32 { get }
  mutating func describe(_ v: FieldVisitor, writtenBy: inout String) throws(FormatFault)
}

// A name in the schema follows from the type's own, unless the type gives another.

extension Described { public static var schemaName: String { "Journal\(Self.self)" } }

extension RowValue { public static var schemaName: String { "Journal\(Self.self)" } }

extension SchemaEnum { public static var schemaName: String { "mend.v1.\(Self.self)" } }

/// Why a value cannot be read.
public struct FormatFault: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// A fact, a value or a field that this version does not have: "an unknown fact", "no value 9 of mend.v1.TierStatus".
    case unknown
    /// No program writes this.
    case damaged
  }

  public var kind: Kind
  public var found: String
  /// Of the record that it was found in, where that could be read.
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

/// A named value of the schema, `mend.v1.FailureCause.FAILURE_CAUSE_OOM`: its number is what the journal has.
public protocol SchemaEnum: Hashable, Sendable {
  /// Of the enum: `mend.v1.FailureCause`.
  static var schemaName: String { get }
  /// Nil for a number that no value has.
  init?(number: Int32)
  /// Nil for a name that no value has.
  init?(schemaName: String)
  var number: Int32 { get }
  /// In lower case, without the enum's own name: `oom`.
  var name: String { get }
}

/// How a whole number stands on the wire.
public enum NumberForm: Sendable {
  case int32, int64, uint32, uint64, fixed64
}

/// What a text is, for whoever may change it.
public enum TextRole: Sendable {
  /// A name or an id.
  case plain
  /// A sentence for people: no decision reads it.
  case prose
  /// What another program said: a line on stderr, an executor's words.
  case quoted
  /// Whoever knows it may act as somebody else: it never leaves the server.
  case secret
}
