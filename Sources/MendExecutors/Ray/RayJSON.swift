internal import FoundationEssentials

/// Any JSON, to be handed on as it is.
enum RayJSON: Hashable, Sendable, Codable {
  case null
  case bool(Bool)
  case whole(Int64)
  case number(Double)
  case text(String)
  case list([RayJSON])
  case object([String: RayJSON])

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let bool = try? value.decode(Bool.self) {
      self = .bool(bool)
    } else if let whole = try? value.decode(Int64.self) {
      self = .whole(whole)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let text = try? value.decode(String.self) {
      self = .text(text)
    } else if let list = try? value.decode([RayJSON].self) {
      self = .list(list)
    } else {
      self = .object(try value.decode([String: RayJSON].self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .whole(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .list(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }

  /// The members of a JSON object whose values are all numbers above 0; nil where the text is none.
  static func amounts(_ text: String) -> [String: Double]? {
    let amounts = try? JSONDecoder().decode([String: Double].self, from: Data(text.utf8))
    return amounts?.values.allSatisfy { $0 > 0 && $0.isFinite } == true ? amounts : nil
  }

  /// The members of a JSON object; nil where the text is none.
  static func object(_ text: String) -> [String: RayJSON]? {
    try? JSONDecoder().decode([String: RayJSON].self, from: Data(text.utf8))
  }
}
