/// A command line as others may see it.
enum CommandLineText {
  /// In one line, with the names of the job's own variables where their values are.
  ///
  /// A shell hands a value on as it is, without the line breaks at its end, or as the words that it has. So it is looked
  /// for in each argument, line breaks and all, and then in all of them with a blank for what stood between two words.
  /// Last, long lines of a value of several are hidden, each by itself.
  static func text(_ arguments: [String], hiding environment: [String: String]) -> String {
    var values: [Secret] = []
    var words: [Secret] = []
    var lines: [Secret] = []
    for (name, value) in environment where AttemptEnvironment.isJobsOwn(name) && value.count >= shortestSecret {
      values.append(Secret(name: name, text: value))
      guard value.contains(where: \.isWhitespace) else { continue }
      values.append(Secret(name: name, text: String(value.reversed().drop(while: \.isNewline).reversed())))
      words.append(Secret(name: name, text: Self.words(of: value)))
      let parts = value.split(whereSeparator: \.isNewline)
      for part in parts where parts.count > 1 && part.count >= shortestLine {
        lines.append(Secret(name: name, text: Self.words(of: part)))
      }
    }
    let whole = arguments.map { hide(values, in: $0) }.joined(separator: " ")
    return hide(lines, in: hide(values + words, in: Self.words(of: whole)))
  }

  private struct Secret {
    var name: String
    var text: String
  }

  /// The longest first: one may be part of another.
  private static func hide(_ secrets: [Secret], in text: String) -> String {
    secrets.filter { $0.text.count >= shortestSecret }
      .sorted { ($1.text.count, $0.name) < ($0.text.count, $1.name) }
      .reduce(text) { text, secret in text.replacing(secret.text, with: "$\(secret.name)") }
  }

  private static func words(of text: some StringProtocol) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  /// What is shorter is in too many words.
  private static let shortestSecret = 6
  /// Of a value of several lines, for the same reason.
  private static let shortestLine = 16
}
