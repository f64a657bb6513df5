internal import Glibc
internal import MendCore

/// Keeps the head and the tail of an endless stream in files of bounded size.
///
/// The first half of the limit goes to PATH. What follows goes to segments of a quarter each, PATH.START, where START is
/// the place in the stream of a segment's first byte; the two newest stay. So every byte that is kept is where the
/// stream had it, and a reader (`AttemptLog`) can follow while it is written. A full disk loses the log, never the
/// attempt.
struct BoundedLog: ~Copyable {
  private let path: String
  private let headLimit: Int64
  private let segmentLimit: Int64
  /// There once there is something in it.
  private var head: Descriptor?
  /// Bytes of the stream so far.
  private var length: Int64 = 0
  private var segment: Segment?
  /// Where the segment before that one begins.
  private var olderStart: Int64?

  private struct Segment: ~Copyable {
    let file: Descriptor
    let start: Int64
    init(file: consuming Descriptor, start: Int64) {
      self.file = file
      self.start = start
    }
  }

  init(path: String, limit: Int) {
    self.path = path
    headLimit = Int64(max(limit / 2, 1))
    segmentLimit = Int64(max(limit / 4, 1))
  }

  mutating func append(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    while !rest.isEmpty {
      let part = rest.prefix(Int(length < headLimit ? headLimit - length : roomInSegment()))
      // What a full disk does not take is missing from the log; the stream goes on behind it.
      if length < headLimit {
        writeToHead(part)
      } else if let current = segment.take() {
        _ = current.file.write(part, at: length - current.start)
        segment = consume current
      }
      length += Int64(part.count)
      rest = rest.dropFirst(part.count)
    }
  }

  private mutating func writeToHead(_ bytes: ArraySlice<UInt8>) {
    guard let file = head.take() ?? (try? FileSystem.openRegular(path, O_WRONLY | O_CREAT | O_TRUNC)) else { return }
    _ = file.write(bytes, at: length)
    head = consume file
  }

  /// What the newest segment still takes; there is a new one where the last is full.
  private mutating func roomInSegment() -> Int64 {
    if let current = segment.take() {
      let start = current.start
      if length - start < segmentLimit {
        segment = consume current
        return segmentLimit - (length - start)
      }
      if let olderStart { FileSystem.remove("\(path).\(olderStart)") }
      olderStart = start
    }
    if let file = try? FileSystem.openRegular("\(path).\(length)", O_WRONLY | O_CREAT | O_TRUNC) {
      segment = Segment(file: file, start: length)
    }
    return segmentLimit
  }
}

/// Remembers the last line on stderr with something in it.
struct LastStderrLine {
  /// Bytes kept of a line: its beginning.
  static let limit = 1024

  /// The last finished line with something in it, and the unfinished one; both cut.
  private var finished: [UInt8] = []
  private var current: [UInt8] = []
  private var tail = StderrTail()

  /// Looks from the end, so that a flood costs one search for each read and not one for each line.
  mutating func append(_ bytes: ArraySlice<UInt8>) {
    tail.append(bytes)
    guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return extend(bytes) }
    let complete = bytes[..<end]
    if let last = complete.lastIndex(where: { $0 > 0x20 }) {
      if let before = complete[..<last].lastIndex(of: UInt8(ascii: "\n")) {
        current = Array(complete[(before + 1)...last].prefix(Self.limit))
      } else {
        extend(complete[...last])
      }
    }
    if !isBlank(current) { finished = current }
    current = Array(bytes[(end + 1)...].prefix(Self.limit))
  }

  private mutating func extend(_ bytes: ArraySlice<UInt8>) {
    current.append(contentsOf: bytes.prefix(max(0, Self.limit - current.count)))
  }

  private func isBlank(_ line: [UInt8]) -> Bool { line.allSatisfy { $0 <= 0x20 } }

  /// Without the white space around it; a character cut in the middle is left out. Where the output ends with a trace, the
  /// line above the trace: it says why.
  var text: String {
    if let line = tail.lineAboveTrace { return line }
    let bytes = isBlank(current) ? finished : current
    var slice = bytes[...]
    while let first = slice.first, first <= 0x20 { slice.removeFirst() }
    while let last = slice.last, last <= 0x20 { slice.removeLast() }
    var result = String(decoding: slice, as: UTF8.self)
    if bytes.count == Self.limit { while result.last == "\u{FFFD}" { result.removeLast() } }
    // A replaced byte takes three.
    while result.utf8.count > Self.limit { result.removeLast() }
    return result
  }
}
