/// What a job's failed documents failed of: counts by code, in one pass over its errors.
///
/// Walks failed documents only; a job without failures costs nothing. Its order never depends on a dictionary's.
struct FailureTally: Hashable {
  struct Code: Hashable {
    var code: String
    /// The attempt died around them, the extractor did not refuse them.
    var causedByAttempt: Bool
    var count = 0
    var first = FirstTen()
    /// The latest attempt that it happened in, and when.
    var attempt = 0
    var at = Instant(milliseconds: 0)
    /// Of those, the documents that no earlier extractor of the tier had failed already, so that sums count each once.
    var ownCount = 0
    var ownFirst = FirstTen()
  }

  /// By count, most first, then by code.
  private(set) var codes: [Code] = []

  init(of job: Job, alreadyFailed: DocumentSet) {
    var latest = -1
    for (position, error) in job.errors {
      // Neighbours mostly share a code: look there before searching.
      if latest < 0 || codes[latest].causedByAttempt != error.causedByAttempt || codes[latest].code != error.code {
        latest = codes.firstIndex { $0.causedByAttempt == error.causedByAttempt && $0.code == error.code } ?? -1
      }
      if latest < 0 {
        codes.append(Code(code: error.code, causedByAttempt: error.causedByAttempt))
        latest = codes.count - 1
      }
      codes[latest].count += 1
      codes[latest].first.insert(position)
      codes[latest].attempt = max(codes[latest].attempt, error.attempt)
      codes[latest].at = max(codes[latest].at, error.at)
      if alreadyFailed.isEmpty || !alreadyFailed.contains(position) {
        codes[latest].ownCount += 1
        codes[latest].ownFirst.insert(position)
      }
    }
    codes.sort { ($1.count, $0.code) < ($0.count, $1.code) }
  }

  /// Documents that failed because an attempt died of this cause.
  func count(diedOf cause: FailureCause) -> Int {
    codes.first { $0.causedByAttempt && $0.code == cause.rawValue }?.count ?? 0
  }
}

/// The ten smallest of many positions, without keeping the others.
struct FirstTen: Hashable {
  static let limit = 10
  private(set) var positions: [Int] = []

  mutating func insert(_ position: Int) {
    if positions.count == Self.limit, let last = positions.last, position >= last { return }
    let index = positions.firstIndex { $0 >= position } ?? positions.count
    if index < positions.count, positions[index] == position { return }
    positions.insert(position, at: index)
    if positions.count > Self.limit { positions.removeLast() }
  }

  mutating func formUnion(_ other: FirstTen) { for position in other.positions { insert(position) } }
}
