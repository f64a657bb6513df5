/// What a job's failed documents failed of: counts by code, in one pass over its errors.
///
/// Walks failed documents only; a job without failures costs nothing. Its order never depends on a dictionary's.
struct FailureTally: Hashable {
  struct Code: Hashable {
    var code: DocumentCode
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

  /// Codes of a worker's own that are told apart; the documents of all others are counted together as `others`.
  static let codesLimit = 64
  static let others: DocumentCode = "others"

  private struct Name: Hashable {
    var code: DocumentCode
    var causedByAttempt: Bool
  }

  init(of job: Job, alreadyFailed: DocumentSet) {
    // Built aside: an error is looked at once, however many documents it is of.
    var found: [Code] = []
    var places: [Name: Int] = [:]
    var own = 0
    var latest = -1
    func place(of error: DocumentError) -> Int {
      if latest < 0 || found[latest].causedByAttempt != error.causedByAttempt || found[latest].code != error.code {
        var name = Name(code: error.code, causedByAttempt: error.causedByAttempt)
        if places[name] == nil, !error.causedByAttempt, error.code.namedCause == nil {
          own += 1
          if own > Self.codesLimit { name.code = Self.others }
        }
        latest = places[name] ?? found.count
        if latest == found.count {
          places[name] = latest
          found.append(Code(code: name.code, causedByAttempt: name.causedByAttempt))
        }
      }
      found[latest].attempt = max(found[latest].attempt, error.attempt)
      found[latest].at = max(found[latest].at, error.at)
      return latest
    }
    job.errors.forEach(group: place) { position, place in
      found[place].count += 1
      found[place].first.insert(position)
      if alreadyFailed.isEmpty || !alreadyFailed.contains(position) {
        found[place].ownCount += 1
        found[place].ownFirst.insert(position)
      }
    }
    codes = found
    codes.sort { ($1.count, $0.code.rawValue) < ($0.count, $1.code.rawValue) }
  }

  /// Documents that failed because an attempt died of this cause.
  func count(diedOf cause: FailureCause) -> Int {
    codes.first { $0.causedByAttempt && $0.code == .failure(cause) }?.count ?? 0
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
