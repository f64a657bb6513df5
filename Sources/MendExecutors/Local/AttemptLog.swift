internal import Glibc
internal import MendRuntime

/// Reads what a `BoundedLog` keeps, also while it is written.
struct AttemptLog {
  /// The file of the head; segments stand beside it.
  let path: String

  /// The stream's bytes from `offset` on, at most `limit` of them and from one file; where those are left out, the next
  /// ones that are kept. Empty at the end of what there is so far. Nil: there is no such attempt.
  func piece(from offset: Int64, limit: Int) -> LogPiece? {
    // A segment may make room between the look at the directory and the read; the next look finds what replaced it.
    for _ in 0..<Self.looks {
      guard let starts = starts() else { return nil }
      for (index, start) in starts.enumerated() {
        // Behind what a later file begins with, an earlier one has nothing to say.
        if index + 1 < starts.count, starts[index + 1] <= offset { continue }
        guard let file = try? FileSystem.openRegular(start == 0 ? path : "\(path).\(start)", O_RDONLY) else { break }
        let bytes = file.read(at: max(0, offset - start), limit: limit)
        if !bytes.isEmpty { return LogPiece(offset: max(offset, start), bytes: bytes) }
        if index + 1 == starts.count { return LogPiece(offset: max(offset, start), bytes: []) }
      }
    }
    return LogPiece(offset: offset, bytes: [])
  }

  private static let looks = 3

  /// Where each file's bytes begin in the stream, ascending; the head's is 0. None before the first byte.
  private func starts() -> [Int64]? {
    guard let slash = path.lastIndex(of: "/") else { return nil }
    let name = path[path.index(after: slash)...]
    var found: [Int64] = []
    let directory = String(path[..<slash])
    // What cannot be read now is empty so far: who asks again gets it then.
    for other in (try? FileSystem.names(in: directory)) ?? [] {
      if other == name { found.append(0) }
      if other.hasPrefix(name + "."), let start = Int64(other.dropFirst(name.count + 1)), start > 0 {
        found.append(start)
      }
    }
    if found.isEmpty, (try? FileSystem.exists(directory)) == false { return nil }
    return found.sorted()
  }
}
