import MendCore
import MendProtobuf

extension TerminalText {
  /// The message with every text on one line, so that a report can be made line by line.
  static func escaped<Answer: Message>(_ message: Answer) throws -> Answer {
    let json = try Format.json(of: message)
    let shown = escaped(json)
    guard shown != json else { return message }
    do {
      return try Answer(json: shown)
    } catch {
      throw ProgramError(.refused, "the server's answer cannot be shown: \(error)")
    }
  }

  private static func escaped(_ value: JSONValue) -> JSONValue {
    switch value {
    case .string(let text): return .string(escaped(text, keepingLines: false))
    case .array(let values): return .array(values.map { escaped($0) })
    case .object(let object):
      return .object(
        JSONObject(object.members.map { JSONObject.Member($0.name.escaped, escaped($0.value)) }))
    default: return value
    }
  }
}

/// Escapes a log for a terminal, piece by piece: line feeds and tabs stay, the rest is as in `TerminalText`. A
/// character may begin in one piece and end in the next.
struct TerminalLog {
  private var rest: [UInt8] = []

  mutating func shown(_ bytes: [UInt8]) -> String {
    var all = rest + bytes
    rest = Array(all[Self.incompleteTail(of: all)...])
    all.removeLast(rest.count)
    return Self.escaped(all)
  }

  /// The rest at a log's end: an incomplete character.
  mutating func end() -> String {
    defer { rest = [] }
    return Self.escaped(rest)
  }

  private static func escaped(_ bytes: [UInt8]) -> String {
    var text = ""
    var rest = bytes[...]
    while let first = rest.first {
      let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
      if let character = String(validating: rest.prefix(length), as: UTF8.self) {
        rest = rest.dropFirst(length)
        switch character {
        case "\n", "\t": text += character
        // A line ending of other systems.
        case "\r" where rest.first == UInt8(ascii: "\n"): break
        default: text += character.escaped
        }
      } else {
        let digits = String(first, radix: 16)
        text += "\\x" + (digits.count < 2 ? "0" : "") + digits
        rest = rest.dropFirst()
      }
    }
    return text
  }

  /// The start of an incomplete character at the end of the bytes, or the end of the bytes.
  private static func incompleteTail(of bytes: [UInt8]) -> Int {
    for back in 1...3 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return needed > back ? bytes.count - back : bytes.count
    }
    return bytes.count
  }
}
