/// A name and where it stands.
struct Name: Hashable, Sendable {
  var text: String
  var location: Location
}

/// One .proto file, first as it was written, then with its types resolved.
struct SchemaSource: Sendable {
  /// As other files import it: `mend/v1/types.proto`.
  var path: String
  var package = ""
  var imports: [Import] = []
  var messages: [MessageDeclaration] = []
  var enums: [EnumDeclaration] = []
  var services: [ServiceDeclaration] = []
}

struct Import: Sendable {
  var path: String
  var isPublic: Bool
  var location: Location
}

struct MessageDeclaration: Sendable {
  var name: Name
  /// With its package and outer messages, without a leading dot.
  var fullName = ""
  var doc: [String]
  var isDeprecated = false
  /// All fields, those of oneofs too.
  var fields: [FieldDeclaration] = []
  var oneofs: [OneofDeclaration] = []
  var messages: [MessageDeclaration] = []
  var enums: [EnumDeclaration] = []
  var reserved = Reserved()
}

struct OneofDeclaration: Sendable {
  var name: Name
  var doc: [String]
}

struct FieldDeclaration: Sendable {
  enum Label: Sendable { case singular, optional, repeated }

  var name: Name
  var number: Int
  var numberLocation: Location
  var type: FieldKind
  var label: Label
  /// An index into the message's oneofs.
  var oneof: Int?
  var doc: [String]
  var isDeprecated = false
  var packed: Bool?
  var jsonName: String?

  /// ProtoJSON's name: underscores dropped, the letter after each raised.
  var camelCaseName: String {
    if let jsonName { return jsonName }
    var result = ""
    var raise = false
    for character in name.text {
      if character == "_" {
        raise = true
      } else {
        result += raise ? character.uppercased() : String(character)
        raise = false
      }
    }
    return result
  }

  /// What protoc calls the message of a map's entry: `status_by_id` has entries of type `StatusByIdEntry`.
  var entryName: String {
    name.text.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined() + "Entry"
  }
}

indirect enum FieldKind: Hashable, Sendable {
  case scalar(Scalar)
  /// As it is written; the linker makes a message or an enumeration of it.
  case unresolved(Name)
  /// By its full name.
  case message(String)
  case enumeration(String)
  case map(key: Scalar, value: FieldKind)
}

enum Scalar: String, CaseIterable, Sendable {
  case double, float, int32, int64, uint32, uint64, sint32, sint64, fixed32, fixed64, sfixed32, sfixed64, bool
  case string, bytes

  var canBeMapKey: Bool { self != .double && self != .float && self != .bytes }
}

struct EnumDeclaration: Sendable {
  struct Value: Sendable {
    var name: Name
    var number: Int
    var numberLocation: Location
    var doc: [String]
    var isDeprecated = false
  }

  var name: Name
  var fullName = ""
  var doc: [String]
  var isDeprecated = false
  var allowsAlias = false
  var values: [Value] = []
  var reserved = Reserved()
}

struct Reserved: Sendable {
  struct Span: Sendable {
    var numbers: ClosedRange<Int>
    var location: Location
  }

  var spans: [Span] = []
  var names: [Name] = []
}

struct ServiceDeclaration: Sendable {
  struct Method: Sendable {
    var name: Name
    var doc: [String]
    var isDeprecated = false
    var input: FieldKind
    var output: FieldKind
    var streamsInput: Bool
    var streamsOutput: Bool
  }

  var name: Name
  var fullName = ""
  var doc: [String]
  var isDeprecated = false
  var methods: [Method] = []
}
