internal import Glibc

/// Keeps the head and the tail of an endless stream in a file of bounded size.
///
/// The first half of the limit goes to PATH at once. What follows goes to two segments of a quarter each, of which the
/// older makes room; at the end they are appended to PATH after a line that says how much is missing. A supervisor that
/// is killed leaves the segments as they are. A full disk loses the log, never the attempt.
struct BoundedLog: ~Copyable {
  private let path: String
  private let headLimit: Int
  private let segmentLimit: Int
  private let head: Descriptor
  private var headBytes = 0
  private var segment: Segment?
  /// Bytes in the older segment; 0 if there is none.
  private var olderBytes = 0
  private(set) var droppedBytes = 0

  private struct Segment: ~Copyable {
    let file: Descriptor
    var bytes = 0
    init(file: consuming Descriptor) { self.file = file }
  }

  private var newerPath: String { "\(path).tail" }
  private var olderPath: String { "\(path).tail.1" }

  init(path: String, limit: Int) throws(SystemError) {
    self.path = path
    headLimit = max(limit / 2, 1)
    segmentLimit = max(limit / 4, 1)
    head = try FileSystem.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND)
  }

  mutating func append(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    let toHead = rest.prefix(max(0, headLimit - headBytes))
    if !toHead.isEmpty {
      headBytes += toHead.count
      if !head.write(toHead) { droppedBytes += toHead.count }
      rest = rest.dropFirst(toHead.count)
    }
    while !rest.isEmpty {
      let count = appendToSegment(rest)
      rest = rest.dropFirst(count)
    }
  }

  private mutating func appendToSegment(_ bytes: ArraySlice<UInt8>) -> Int {
    if var current = segment.take() {
      if current.bytes < segmentLimit {
        let part = bytes.prefix(segmentLimit - current.bytes)
        current.bytes += part.count
        if !current.file.write(part) { droppedBytes += part.count }
        segment = consume current
        return part.count
      }
      droppedBytes += olderBytes
      olderBytes = current.bytes
      try? FileSystem.rename(newerPath, to: olderPath)
    }
    guard let file = try? FileSystem.open(newerPath, O_WRONLY | O_CREAT | O_TRUNC) else {
      droppedBytes += bytes.count
      return bytes.count
    }
    segment = Segment(file: file)
    return 0
  }

  /// Joins the parts. Nothing may be appended after it.
  mutating func finish() {
    guard segment.take() != nil else { return }
    if droppedBytes > 0 { _ = head.write(Array("\n[mend: \(droppedBytes) bytes left out here]\n".utf8)[...]) }
    for part in [olderPath, newerPath] {
      if let bytes = FileSystem.read(part) { _ = head.write(bytes[...]) }
      FileSystem.remove(part)
    }
  }
}

/// Remembers the last line with something in it.
struct StandardErrorTail {
  /// Bytes kept of a line: its beginning.
  static let limit = 1024

  /// The last finished line with something in it, and the unfinished one; both cut.
  private var finished: [UInt8] = []
  private var current: [UInt8] = []

  /// Looks from the end, so that a flood costs one search for each read and not one for each line.
  mutating func append(_ bytes: ArraySlice<UInt8>) {
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

  /// Without the white space around it; a character cut in the middle is left out.
  var line: String {
    let bytes = isBlank(current) ? finished : current
    var slice = bytes[...]
    while let first = slice.first, first <= 0x20 { slice.removeFirst() }
    while let last = slice.last, last <= 0x20 { slice.removeLast() }
    var text = String(decoding: slice, as: UTF8.self)
    if bytes.count == Self.limit { while text.last == "\u{FFFD}" { text.removeLast() } }
    // A replaced byte takes three.
    while text.utf8.count > Self.limit { text.removeLast() }
    return text
  }
}
