import ArgumentParser

/// How long something is kept, as people write it: `90s`, `30m`, `12h`, `30d`.
struct Retention: Hashable, Sendable, CustomStringConvertible {
  var duration: Duration
  var description: String

  static let standard = Retention(duration: .seconds(90 * 86_400), description: "90d")

  static func option(_ text: String) throws -> Retention {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()), number > 0,
      number <= 100_000
    else {
      throw ValidationError("invalid time '\(text)'; expected a time such as 90s, 30m, 12h or 30d.")
    }
    return Retention(duration: .seconds(number * unit), description: text)
  }
}
