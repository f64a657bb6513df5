import MendReading

/// The end of what a program wrote to one stream, taken from its own output or from a log that `mend logs` printed.
///
/// The log's header line is not the program's, and is left out. A second log is refused: its program would seem to have
/// written both.
struct ProgramOutput {
  private var tail = OutputTail()
  private var header: String?
  /// The beginning of a line that may be a header.
  private var held: [UInt8] = []
  private var isAtLineStart = true

  var lines: [String] { tail.lines }

  /// The place of each of `lines` in what the program wrote, from 1.
  var lineNumbers: [Int] { tail.lineNumbers }

  mutating func append(_ piece: ArraySlice<UInt8>) throws {
    var rest = piece
    while !rest.isEmpty {
      let end = rest.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? rest.endIndex
      try appendPart(rest[..<end])
      rest = rest[end...]
    }
  }

  /// Takes a last line that has no line feed.
  mutating func end() throws { try release() }

  /// A part of one line: it has a line feed at its end, or none.
  private mutating func appendPart(_ part: ArraySlice<UInt8>) throws {
    let isEndOfLine = part.last == UInt8(ascii: "\n")
    defer { isAtLineStart = isEndOfLine }
    guard isAtLineStart || !held.isEmpty else { return tail.append(part) }
    held += part
    if isEndOfLine || !Self.mayBeginHeader(held) { try release() }
  }

  private mutating func release() throws {
    defer { held = [] }
    guard let found = Self.header(held) else { return tail.append(held) }
    if let header, header != found {
      throw ProgramError.usage(
        "this is the output of more than one log (\(header), \(found)); explain one: "
          + "mend logs BATCH --job \(Self.job(found)) --stream stderr | mend explain -")
    }
    header = found
  }

  private static let headerStart = Array("==> ".utf8)
  private static let headerLimit = 80

  private static func mayBeginHeader(_ bytes: [UInt8]) -> Bool {
    bytes.count <= headerLimit && (bytes.starts(with: headerStart) || headerStart.starts(with: bytes))
  }

  /// `==> t0-j0.1 stderr <==`, as `LogView` prints it; nil for any other line.
  private static func header(_ line: [UInt8]) -> String? {
    guard line.count <= headerLimit, line.starts(with: headerStart) else { return nil }
    let text = String(decoding: line.last == UInt8(ascii: "\n") ? line.dropLast() : line[...], as: UTF8.self)
    return text.wholeMatch(of: #/==> t[0-9]+-j[0-9]+\.[0-9]+ (stdout|stderr) <==/#) == nil ? nil : text
  }

  private static func job(_ header: String) -> Substring {
    header.dropFirst(headerStart.count).prefix { $0 != "." }
  }
}
