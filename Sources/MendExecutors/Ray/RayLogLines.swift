/// Reads the log of a driver, which has its own lines and those of its workers.
enum RayLogLines {
  /// Ray prefixes what a worker writes by `(NAME pid=1, ip=…)`, and what it says itself by `(raylet)` and the like.
  static func isOfWorker(_ line: Substring) -> Bool {
    guard line.hasPrefix("("), let end = line.firstIndex(of: ")") else { return false }
    return line[..<end].contains("pid=") || line.hasPrefix("(raylet") || line.hasPrefix("(autoscaler")
  }

  /// Without the escape sequences that colour it.
  static func plain(_ line: Substring) -> Substring {
    guard line.contains("\u{1b}") else { return line }
    var text = Substring()
    var isInside = false
    for character in line {
      if character == "\u{1b}" {
        isInside = true
      } else if !isInside {
        text.append(character)
      } else if character.isLetter {
        isInside = false
      }
    }
    return text
  }

  /// The error that ended a Python driver, with what follows of it; empty where there is none. It stands behind the last
  /// traceback, not indented, between whatever its workers wrote meanwhile.
  static func lastError(of log: String) -> String {
    let lines = log.split(whereSeparator: \.isNewline).map(plain).filter { !isOfWorker($0) }
    guard let start = lines.lastIndex(of: "Traceback (most recent call last):") else { return "" }
    let error = lines[(start + 1)...].drop { $0.first?.isWhitespace != false }
    return error.prefix(linesOfError).joined(separator: "\n")
  }

  private static let linesOfError = 20
}
