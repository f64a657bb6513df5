/// A proto3 message: a plain struct with one stored property a field, written by schemac.
///
/// The generated requirements are thin: `Reader`, `Writer` and the `FieldType`s know wire types, lengths and JSON. Two
/// messages are equal when their fields and unknown fields are.
public protocol Message: Sendable, Hashable {
  /// Every field at its default: zero, empty, or unset.
  init()
  /// The full name in the schema, without a leading dot: `mend.v1.GetBatchRequest`.
  static var protobufName: String { get }
  /// The names of all fields in the schema and in JSON, in the schema's order.
  static var fieldNames: [FieldName] { get }
  /// Received fields that this version of the schema does not know; they are written after the known fields.
  var unknownFields: UnknownFields { get set }

  /// Merges fields from the reader until the end of this message: scalars are replaced, lists and maps grow, messages
  /// are merged.
  mutating func decode(from reader: inout Reader) throws(DecodingError)
  /// Writes all fields, the last one first, as `Writer` wants it.
  func encode(to writer: inout Writer)
  /// Hands every field to the builder, in the schema's order.
  func encodeJSON(to json: inout JSONObjectBuilder) throws(JSONEncodingError)
  /// Sets one field from JSON.
  mutating func decodeJSON(field number: Int32, from json: JSONFieldReader) throws(JSONDecodingError)
}

extension Message {
  /// A message with the fields that the closure sets: `GetBatchRequest { $0.batchID = "b1" }`.
  public init<Failure: Error>(_ configure: (inout Self) throws(Failure) -> Void) throws(Failure) {
    self.init()
    try configure(&self)
  }

  /// Decodes a whole message.
  ///
  /// - Throws: `DecodingError` with the byte offset and the message that it was found in. Nothing is allocated for
  ///   lengths that the input doesn't hold.
  public init(serialized bytes: RawSpan, limits: DecodingLimits = DecodingLimits()) throws(DecodingError) {
    self.init()
    try merge(serialized: bytes, limits: limits)
  }

  /// Decodes a whole message, as `init(serialized:limits:)` of a span does.
  public init(serialized bytes: [UInt8], limits: DecodingLimits = DecodingLimits()) throws(DecodingError) {
    try self.init(serialized: unsafe bytes.span.bytes, limits: limits)
  }

  /// Merges a serialized message into this one, as if both had been concatenated on the wire.
  ///
  /// After an error the message holds the fields that stood before the fault.
  public mutating func merge(serialized bytes: RawSpan, limits: DecodingLimits = DecodingLimits())
    throws(DecodingError)
  {
    do throws(DecodingError) {
      try Reader.read(bytes, limits: limits) { reader throws(DecodingError) in try decode(from: &reader) }
    } catch {
      throw error.inside(Self.protobufName)
    }
  }

  /// The message as bytes. The same message gives the same bytes within one version of the schema: fields by number,
  /// map entries by key.
  public func serialized() -> [UInt8] {
    var writer = Writer()
    encode(to: &writer)
    return writer.bytes()
  }

  /// Appends the message's bytes to a buffer.
  public func append(to buffer: inout [UInt8]) {
    var writer = Writer()
    encode(to: &writer)
    writer.append(to: &buffer)
  }
}

/// A field's names in the schema and in JSON.
public struct FieldName: Sendable, Hashable {
  public let number: Int32
  /// The schema's own spelling: `batch_id`.
  public let schema: String
  /// ProtoJSON's spelling: `batchId`, or what the option `json_name` says.
  public let camelCase: String

  public init(_ number: Int32, _ schema: String, camelCase: String) {
    self.number = number
    self.schema = schema
    self.camelCase = camelCase
  }
}

/// A proto3 enum: open, so a number that this version of the schema doesn't name is kept as `unrecognized`.
public protocol Enum: Sendable, Hashable, CaseIterable {
  /// The value zero.
  init()
  /// Never fails: an unnamed number becomes `unrecognized`.
  init(rawValue: Int32)
  var rawValue: Int32 { get }
  /// The full name in the schema, without a leading dot.
  static var protobufName: String { get }
  /// Every name in the schema's order, aliases after the name that they repeat.
  static var caseNames: [CaseName] { get }
}

/// An enum value's names: in the schema, and for people.
public struct CaseName: Sendable, Hashable {
  public let number: Int32
  /// `HEALTH_STATE_STUCK`
  public let schema: String
  /// The same without the enum's name, in lower case: `stuck`.
  public let short: String

  public init(_ number: Int32, _ schema: String, short: String) {
    self.number = number
    self.schema = schema
    self.short = short
  }
}

extension Enum {
  /// The short name, or the number in digits where the schema has no name for it.
  public var shortName: String {
    let number = rawValue
    return Self.caseNames.first { $0.number == number }?.short ?? String(number)
  }

  /// The value with this short name (`stuck`, in any case) or schema name (`HEALTH_STATE_STUCK`).
  public init?(name: String) {
    let lowercased = name.lowercased()
    guard let found = Self.caseNames.first(where: { $0.schema == name || $0.short == lowercased }) else { return nil }
    self.init(rawValue: found.number)
  }
}

/// Fields that the schema doesn't know, as they stood on the wire: tags and payloads, in the order of their arrival.
public struct UnknownFields: Sendable, Hashable {
  public internal(set) var bytes: [UInt8] = []

  public init() {}
  public var isEmpty: Bool { bytes.isEmpty }
}

/// Storage for a message field that can contain its own type; other message fields are stored in place.
@propertyWrapper
public struct Boxed<Value: Sendable & Hashable>: Sendable, Hashable {
  private indirect enum Storage: Sendable, Hashable {
    case empty
    case value(Value)
  }

  private var storage = Storage.empty

  public init() {}
  public init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

  public var wrappedValue: Value? {
    get { if case .value(let value) = storage { value } else { nil } }
    set { storage = if let newValue { .value(newValue) } else { .empty } }
  }

  /// Empties the box and returns its content.
  @usableFromInline
  mutating func take() -> Value? {
    let value = wrappedValue
    storage = .empty
    return value
  }
}
