/// What a line is in the trace that a runtime prints: Python, Java, Node, Go, Rust, Ruby, .NET, PHP, C++.
enum TraceForm: Sendable {
  /// No part of a trace.
  case none
  /// A stack frame, a line of source, or what begins or ends a trace.
  case frame
  /// Says that what stands above it led to what stands below.
  case link
  /// What the error above it was caused by.
  case inner
}

enum Trace {
  static func forms(of lines: [String]) -> [TraceForm] {
    var forms = lines.indices.map { form(of: lines[$0], before: lines[safe: $0 + 1], after: lines[safe: $0 - 1]) }
    markSources(lines, &forms)
    markContinuations(lines, &forms)
    return forms
  }

  private static func form(of line: String, before next: String?, after previous: String?) -> TraceForm {
    let text = line.trimmed
    let isIndented = line.first == " " || line.first == "\t"
    if links.contains(where: text.hasPrefix) { return .link }
    if innerBeginnings.contains(where: text.hasPrefix) { return .inner }
    if isIndented, ["at ", "from ", "File \""].contains(where: text.hasPrefix) { return .frame }
    if text.hasPrefix("... "), text.hasSuffix(" more") { return .frame }
    if frameBeginnings.contains(where: text.hasPrefix) { return .frame }
    if isNumberedFrame(text) || isMarks(text) { return .frame }
    // Go names the function, and in the next line its place.
    if isGoPlace(line) || next.map(isGoPlace) == true { return .frame }
    // Rust says where it panicked, and in the next line why.
    if let previous, previous.contains("panicked at "), previous.hasSuffix(":") { return .inner }
    // anyhow numbers what an error was caused by.
    if isIndented, previous?.trimmed == "Caused by:" { return .inner }
    return .none
  }

  private static let links = [
    "The above exception was the direct cause", "During handling of the above exception",
  ]
  private static let innerBeginnings = ["Caused by: ", "---> ", "[cause]: ", "what():", "caused by: "]
  private static let frameBeginnings = [
    "Traceback (most recent call last)", "Node.js v", "note: run with `RUST_BACKTRACE", "goroutine ", "[signal ",
    "----- Native", "----- JavaScript", "Extension modules:", "Current thread ", "<--- ", "==== JS stack",
    "stack backtrace:", "note: Some details are omitted", "--- End of ", "Stack trace:", "[Previous line repeated",
    "thrown in ", "Thread 0x", "^~", "created by ",
  ]

  /// ` 1: 0xb090e0 node::Abort() [node]`, `#0 /srv/x.php(3): f()`
  private static func isNumberedFrame(_ text: String) -> Bool {
    let digits = text.drop { $0 == "#" }.prefix { $0.isNumber }
    guard !digits.isEmpty else { return false }
    return text.hasPrefix("#") || text.dropFirst(digits.count).hasPrefix(": 0x")
  }

  /// Only signs: carets below a line of source, rules, braces.
  private static func isMarks(_ text: String) -> Bool { !text.contains { $0.isLetter || $0.isNumber } }

  private static func isGoPlace(_ line: String) -> Bool { line.hasPrefix("\t") && line.contains(".go:") }

  /// Python and Node print the line of source: below its place, or above a caret.
  private static func markSources(_ lines: [String], _ forms: inout [TraceForm]) {
    for index in lines.indices.dropFirst() {
      let text = lines[index].trimmed
      if text.hasPrefix("^"), isMarks(text), forms[index - 1] == .none, !lines[index - 1].contains("error:"),
        !lines[index - 1].contains("error :")
      {
        forms[index - 1] = .frame
      }
      guard lines[index - 1].trimmed.hasPrefix("File \""), forms[index - 1] == .frame else { continue }
      let indent = lines[index - 1].prefix { $0 == " " }.count
      if lines[index].prefix(while: { $0 == " " }).count > indent { forms[index] = .frame }
    }
  }

  /// The further lines of an exception's text in a chain belong to it.
  private static func markContinuations(_ lines: [String], _ forms: inout [TraceForm]) {
    for link in lines.indices where forms[link] == .link {
      var index = link - 1
      while index > 0, forms[index] == .none, forms[index - 1] == .none {
        forms[index] = .frame
        index -= 1
      }
    }
  }
}

extension String {
  /// Without blanks at either end.
  var trimmed: String {
    var slice = self[...]
    while let first = slice.first, first.isWhitespace { slice.removeFirst() }
    while let last = slice.last, last.isWhitespace { slice.removeLast() }
    return String(slice)
  }
}

extension Array {
  subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
