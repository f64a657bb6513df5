/// Reads the log of a driver, which has its own lines and those of its workers.
enum RayLogLines {
  /// Ray prefixes what a worker writes by `(NAME pid=1, ip=…)`, and what it says itself by `(raylet)` and the like.
  static func isOfWorker(_ line: Substring) -> Bool {
    guard line.hasPrefix("("), let end = line.firstIndex(of: ")") else { return false }
    return line[..<end].contains("pid=") || line.hasPrefix("(raylet") || line.hasPrefix("(autoscaler")
  }

  /// How Python begins the account of an exception.
  static let traceback: Substring = "Traceback (most recent call last):"

  /// Python says that the next exception came of the one before.
  static func isChain(_ line: Substring) -> Bool {
    line == "The above exception was the direct cause of the following exception:"
      || line == "During handling of the above exception, another exception occurred:"
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
    guard let start = lines.lastIndex(of: traceback) else { return "" }
    let error = lines[(start + 1)...].drop { $0.first?.isWhitespace != false }
    return error.prefix(linesOfError).joined(separator: "\n")
  }

  private static let linesOfError = 20
}
