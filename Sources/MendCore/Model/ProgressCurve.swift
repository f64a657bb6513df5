/// How many documents of a tier were settled by when: what an estimate is made from, and what it can be checked against.
///
/// Times are those of the tier's work clock. At most `limit` points however many documents there are: when it is full,
/// every second one goes, and those to come are twice as far apart.
package struct ProgressCurve: Hashable, Codable, Sendable {
  package struct Point: Hashable, Codable, Sendable {
    package var at: Duration
    package var settled: Int
  }

  package static let limit = 64

  /// The first is the start of the tier.
  package private(set) var points: [Point] = []
  private var step = 1
  /// Results that came since the last look.
  private var unseen = 0

  package init() {}

  init(startedAt: Duration, settled: Int, of total: Int) {
    points = [Point(at: startedAt, settled: settled)]
    step = max(1, total / Self.limit)
  }

  /// True when another look is worth its cost.
  mutating func isDue(after results: Int) -> Bool {
    unseen += results
    guard unseen >= step else { return false }
    unseen = 0
    return true
  }

  mutating func note(_ settled: Int, at elapsed: Duration) {
    guard let last = points.last else { return }
    if settled < last.settled {
      // A retry opened some again: what was before says nothing of how fast it goes now.
      points = [Point(at: elapsed, settled: settled)]
      return
    }
    guard settled >= last.settled + step else { return }
    points.append(Point(at: elapsed, settled: settled))
    if points.count > Self.limit {
      points = points.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
      step *= 2
    }
  }
}
