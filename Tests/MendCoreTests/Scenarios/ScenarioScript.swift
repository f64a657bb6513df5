/// One scenario file: prose, and directives each followed by what they said.
///
///     # Prose, kept as it is.
///
///     directive
///       and more lines of it
///     ----
///     what it said
///
/// A block ends at an empty line.
struct ScenarioScript {
  enum Part {
    case prose([String])
    case block(directive: [String], transcript: [String])
  }

  var parts: [Part] = []

  init(_ text: String) {
    for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      .split(whereSeparator: \.isEmpty).map(Array.init)
    {
      if paragraph.allSatisfy({ $0.hasPrefix("#") }) {
        parts.append(.prose(paragraph))
      } else if let rule = paragraph.firstIndex(of: "----") {
        parts.append(
          .block(directive: Array(paragraph[..<rule]), transcript: Array(paragraph[(rule + 1)...])))
      } else {
        parts.append(.block(directive: paragraph, transcript: []))
      }
    }
  }

  var text: String {
    parts.map { part in
      switch part {
      case .prose(let lines): lines.joined(separator: "\n")
      case .block(let directive, let transcript): (directive + ["----"] + transcript).joined(separator: "\n")
      }
    }.joined(separator: "\n\n") + "\n"
  }

  /// The same script with what each directive says now.
  func played() throws -> ScenarioScript {
    var world = ScenarioWorld()
    var result = self
    for (index, part) in parts.enumerated() {
      guard case .block(let directive, _) = part else { continue }
      result.parts[index] = .block(directive: directive, transcript: try world.play(directive))
    }
    return result
  }
}

/// A directive's words: the command, its arguments, and its settings `name=value`.
struct ScenarioWords {
  var name: String
  var arguments: [String] = []
  var settings: [String: String] = [:]

  struct Mistake: Error, CustomStringConvertible {
    var description: String
  }

  init(_ line: String) {
    var words: [String] = []
    var word = ""
    var isQuoted = false
    for character in line {
      switch character {
      case "\"": isQuoted.toggle()
      case " " where !isQuoted:
        if !word.isEmpty { words.append(word) }
        word = ""
      default: word.append(character)
      }
    }
    if !word.isEmpty { words.append(word) }
    name = words.first ?? ""
    for word in words.dropFirst() {
      if let equals = word.firstIndex(of: "=") {
        settings[String(word[..<equals])] = String(word[word.index(after: equals)...])
      } else {
        arguments.append(word)
      }
    }
  }

  func has(_ flag: String) -> Bool { arguments.contains(flag) }

  func argument(_ place: Int) throws -> String {
    guard arguments.indices.contains(place) else { throw Mistake(description: "\(name) needs more arguments") }
    return arguments[place]
  }

  func integer(_ setting: String, _ missing: Int = 0) throws -> Int {
    guard let text = settings[setting] else { return missing }
    guard let value = Int(text) else { throw Mistake(description: "\(setting)=\(text) is no number") }
    return value
  }

  func list(_ setting: String) -> [String] {
    settings[setting].map { $0.split(separator: ",").map(String.init) } ?? []
  }

  /// `300s`, `2.5s`, `20min`, `250ms`.
  static func duration(_ text: String) throws -> Duration {
    for (unit, milliseconds) in [("ms", 1.0), ("min", 60_000.0), ("h", 3_600_000.0), ("s", 1000.0)]
    where text.hasSuffix(unit) {
      if let value = Double(text.dropLast(unit.count)) { return .milliseconds(Int64(value * milliseconds)) }
    }
    throw Mistake(description: "\(text) is no time such as 300s")
  }

  func duration(_ setting: String) throws -> Duration? { try settings[setting].map(Self.duration) }
}
