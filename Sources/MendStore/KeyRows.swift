import MendCore

/// Finds the rows of the idempotency table that can be deleted. Each namespace keeps its newest keys up to a limit,
/// whatever other namespaces have.
struct KeyRows {
  private struct Line {
    /// The number of keys in each row, the oldest row first; rows before `head` are gone.
    var rows: [(row: Int64, keys: Int)] = []
    var head = 0
    var keys = 0

    var first: (row: Int64, keys: Int)? { head < rows.count ? rows[head] : nil }

    mutating func removeFirst() {
      keys -= rows[head].keys
      head += 1
      if head > 1024 && head > rows.count / 2 {
        rows.removeFirst(head)
        head = 0
      }
    }
  }

  private var lines: [String: Line] = [:]
  /// The number of keys in each row that are within their namespace's limit.
  private var left: [Int64: Int] = [:]
  /// Rows without such keys that are not deleted yet.
  private(set) var spent: [Int64] = []

  /// Adds a row that was written. At least `limit` keys of each namespace stay.
  mutating func add(_ row: Int64, of namespaces: some Sequence<String>, limit: Int) {
    var counts: [String: Int] = [:]
    for namespace in namespaces { counts[namespace, default: 0] += 1 }
    left[row] = counts.values.reduce(0, +)
    for (namespace, keys) in counts {
      lines[namespace, default: Line()].rows.append((row, keys))
      lines[namespace]?.keys += keys
      while let line = lines[namespace], let first = line.first, line.keys - first.keys >= limit {
        lines[namespace]?.removeFirst()
        take(first.keys, from: first.row)
      }
    }
  }

  /// Notes that rows were deleted: all up to `last`, and `rows`.
  mutating func remove(through last: Int64?, _ rows: [Int64]) {
    let gone = Set(rows)
    spent.removeAll { gone.contains($0) || $0 <= last ?? .min }
    guard let last else { return }
    for namespace in lines.keys {
      while let first = lines[namespace]?.first, first.row <= last {
        lines[namespace]?.removeFirst()
        left[first.row] = nil
      }
      if lines[namespace]?.first == nil { lines[namespace] = nil }
    }
  }

  private mutating func take(_ keys: Int, from row: Int64) {
    guard let count = left[row] else { return }
    assert(count >= keys)
    left[row] = count > keys ? count - keys : nil
    if count <= keys { spent.append(row) }
  }
}
