/// The end of what a program wrote to stderr, to find the line that says why it ended: with many runtimes the last line is
/// not that one but the end of a trace.
package struct StderrTail: Sendable {
  /// Bytes; a trace that is longer hides what it belongs to.
  package static let limit = 8192
  /// Bytes of a line that are given.
  package static let lineLimit = 1024

  private var bytes: [UInt8] = []

  package init() {}

  /// Costs a copy of at most `limit` bytes, however many come.
  package mutating func append(_ more: ArraySlice<UInt8>) {
    if more.count >= Self.limit {
      bytes = Array(more.suffix(Self.limit))
      return
    }
    bytes.append(contentsOf: more)
    if bytes.count > Self.limit * 2 { bytes.removeFirst(bytes.count - Self.limit) }
  }

  /// The line above a trace that the output ends with, joined with its continuation where it has one; nil where the
  /// output does not end with a trace: then the last line says it.
  package var lineAboveTrace: String? {
    let lines = bytes.suffix(Self.limit).split(separator: UInt8(ascii: "\n"))
      .map { String(decoding: $0, as: UTF8.self) }
      .filter { line in line.utf8.contains { $0 > 0x20 } }
    guard var place = lines.indices.last else { return nil }
    var isTrace = false
    while place > 0, Self.isOfTrace(lines[place]) || Self.isAfterword(lines[place]) {
      isTrace = isTrace || Self.isOfTrace(lines[place])
      place -= 1
    }
    let line = lines[place]
    let isRoot = Self.isHeadline(line) || Self.trimmed(line).hasPrefix("Caused by: ")
    if isTrace, !isRoot, let headline = lines[..<place].last(where: Self.isHeadline) {
      // A panic of Rust says where, and in the next line what; frames of Go look like nothing else.
      return Self.cut(headline.hasSuffix(":") ? headline + " " + Self.trimmed(line) : headline)
    }
    if Self.trimmed(line).hasPrefix("what():"), place > 0, Self.isHeadline(lines[place - 1]) {
      return Self.cut(lines[place - 1] + " " + Self.trimmed(line))
    }
    if place == lines.count - 1 || Self.isOfTrace(line) { return nil }
    // What a shell adds says more than a line that means nothing.
    return isTrace || ErrorSignature.matching(line) != nil ? Self.cut(line) : nil
  }

  /// Lines that follow the one that says why: stack frames, and what runtimes add.
  private static func isOfTrace(_ line: String) -> Bool {
    let text = trimmed(line)
    if line.hasPrefix("\t"), text.contains(".go:") { return true }
    if text.hasPrefix("at "), line.first?.isWhitespace == true { return true }
    if text.hasPrefix("... "), text.hasSuffix(" more") { return true }
    if text.hasPrefix("File \""), line.hasPrefix(" ") { return true }
    return traceBeginnings.contains { text.hasPrefix($0) } || isNativeFrame(text)
  }

  /// What shells say of a program's end.
  private static func isAfterword(_ line: String) -> Bool {
    let text = trimmed(line)
    return ["Aborted", "Segmentation fault", "exit status ", "Trace/breakpoint trap"].contains { text.hasPrefix($0) }
  }

  private static let traceBeginnings = [
    "Node.js v", "note: run with `RUST_BACKTRACE", "goroutine ", "[signal ", "----- Native", "----- JavaScript",
    "Extension modules:", "Current thread ", "<--- ", "==== JS stack", "stack backtrace:",
    "note: Some details are omitted",
  ]

  /// ` 1: 0xb090e0 node::Abort() [node]`
  private static func isNativeFrame(_ text: String) -> Bool {
    let digits = text.prefix { $0.isNumber }
    return !digits.isEmpty && text.dropFirst(digits.count).hasPrefix(": 0x")
  }

  /// What begins a trace, and says why.
  private static func isHeadline(_ line: String) -> Bool { headlines.contains { line.contains($0) } }

  private static let headlines = [
    "panic: ", "fatal error: ", "FATAL ERROR: ", "panicked at", "Fatal Python error", "terminate called",
    "Exception in thread", "OutOfMemoryError", "has overflowed its stack",
  ]

  private static func trimmed(_ text: String) -> String {
    var slice = text[...]
    while let first = slice.first, first.isWhitespace { slice.removeFirst() }
    while let last = slice.last, last.isWhitespace { slice.removeLast() }
    return String(slice)
  }

  private static func cut(_ line: String) -> String {
    var text = trimmed(line)
    while text.utf8.count > lineLimit { text.removeLast() }
    return text
  }
}
