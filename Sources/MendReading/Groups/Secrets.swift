/// Hides what looks like a password, a key or a token in a line that is kept.
package struct Secrets: Sendable {
  /// Stands in place of a secret.
  package static let mark = "***"
  /// A value of an environment that is shorter hides ordinary words.
  static let shortestValue = 8

  private let values: [String]

  /// - Parameter values: those of the attempt's own environment.
  package init(values: [String] = []) {
    self.values = values.filter { $0.utf8.count >= Self.shortestValue }.sorted { $0.utf8.count > $1.utf8.count }
  }

  package func masked(_ line: String) -> String {
    var line = line
    for value in values { line = line.replacing(value, with: Self.mark) }
    for pattern in Self.patterns { line = Self.masked(line, by: pattern) }
    return line
  }

  /// Replaces what the pattern captures, wherever it matches.
  private static func masked(_ line: String, by pattern: Pattern) -> String {
    let bytes = Array(line.utf8)
    var matcher = PatternMatcher()
    var masked: [UInt8] = []
    var place = 0
    while let match = matcher.firstMatch(of: pattern, in: bytes[...], from: place) {
      let secret = match.captures.compactMap(\.self).first ?? match.range
      masked += bytes[place..<secret.lowerBound] + Array(mark.utf8)
      place = max(secret.upperBound, match.range.lowerBound + 1)
    }
    return place == 0 ? line : String(decoding: masked + bytes[place...], as: UTF8.self)
  }

  /// What each captures is the secret.
  private static let patterns: [Pattern] = [
    "(?i)\\b(?:bearer|basic) +([\\w.~+/=-]{8,})",
    "\\b((?:AKIA|ASIA)[0-9A-Z]{12,})",
    "\\b((?:ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xoxb-|xoxp-)[\\w-]{10,})",
    "\\b(sk-[\\w-]{16,})",
    "\\b(eyJ[\\w-]{8,}\\.[\\w-]+\\.?[\\w-]*)",
    "://([^/@\\s:]*:[^/@\\s]+)@",
    "-----BEGIN [A-Z ]*PRIVATE KEY-----(.*)",
    "(?i)(?:password|passwd|passphrase|token|secret|api[_-]?key|access[_-]?key|private[_-]?key|signature)[\"']?(?:=|: ?| = )[\"']?([^\\s\"',;&)]{4,})",
    "(?i)[?&](?:key|sig|signature|token|code)=([^\\s\"'&]{4,})",
  ].map { text in
    do {
      return try Pattern(text)
    } catch {
      preconditionFailure("\(text): \(error)")
    }
  }
}
