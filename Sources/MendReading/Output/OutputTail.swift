/// The end of what a program wrote to one stream, squeezed: its last lines, as a terminal would leave them, in a bounded
/// space.
///
/// - A carriage return restarts its line, so of a progress bar the last state is left.
/// - A line that is too long keeps both ends.
/// - Escape sequences (colours, the terminal's title) and control characters are left out, and so are blank lines.
package struct OutputTail: Sendable {
  package static let lineLimit = 64
  package static let byteLimit = 16_384
  /// Of a line: half of it from either end.
  package static let lineByteLimit = 2048
  /// Stands in a line where its middle is left out.
  package static let gap = " … "

  private struct Line {
    /// Its place in the stream, from 1.
    var number: Int
    var bytes: [UInt8]
  }

  private var finished: [Line] = []
  private var finishedBytes = 0
  private var line = LongLine(limit: lineByteLimit)
  /// The place of the unfinished line.
  private var number = 1
  private var escape = EscapeState.none
  private var isAfterReturn = false

  package init() {}

  package init(_ text: String) { append(Array(text.utf8)) }

  /// The lines so far; an unfinished one is the last.
  package var lines: [String] { kept.map { String(decoding: $0.bytes, as: UTF8.self) } }

  /// The place of each of `lines` in the stream, from 1: lines that were blank or dropped count too.
  package var lineNumbers: [Int] { kept.map(\.number) }

  private var kept: [Line] {
    var all = finished
    if !line.isBlank { all.append(Line(number: number, bytes: line.bytes)) }
    return Self.last(all)
  }

  package mutating func append(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { append(byte) }
    // The oldest lines go in one turn, so that none is moved twice.
    if finished.count > Self.lineLimit * 4 || finishedBytes > Self.byteLimit * 4 { trim() }
  }

  private mutating func append(_ byte: UInt8) {
    if escape.takes(byte) { return }
    switch byte {
    case UInt8(ascii: "\n"):
      finish()
    case UInt8(ascii: "\r"):
      isAfterReturn = true
    case 0x08:
      line.removeLast()
    case UInt8(ascii: "\t"), 0x20..<0x7F, 0x80...:
      if isAfterReturn {
        isAfterReturn = false
        line.removeAll()
      }
      line.append(byte)
    default: break
    }
  }

  private mutating func finish() {
    isAfterReturn = false
    if !line.isBlank {
      let bytes = line.bytes
      finished.append(Line(number: number, bytes: bytes))
      finishedBytes += bytes.count + 1
      if finishedBytes > Self.byteLimit * 8 { trim() }
    }
    line.removeAll()
    number += 1
  }

  private mutating func trim() {
    finished = Self.last(finished)
    finishedBytes = finished.reduce(0) { $0 + $1.bytes.count + 1 }
  }

  private static func last(_ lines: [Line]) -> [Line] {
    var bytes = 0
    let kept = lines.suffix(lineLimit).reversed().prefix { line in
      bytes += line.bytes.count + 1
      return bytes <= byteLimit
    }
    return kept.reversed()
  }
}
