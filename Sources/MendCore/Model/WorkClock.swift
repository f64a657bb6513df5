/// How long something could be worked on: the time in which it stood still (a pause, the wait between a failure and a
/// retry) is left out.
package struct WorkClock: Hashable, Codable, Sendable {
  /// Of the times that are over.
  private var spent: Duration = .zero
  private var runsSince: Instant?

  package init() {}

  /// Goes or stands from `now` on; telling it again what it does changes nothing.
  package mutating func run(_ runs: Bool, at now: Instant) {
    if runs {
      if runsSince == nil { runsSince = now }
    } else {
      spent = elapsed(at: now)
      runsSince = nil
    }
  }

  package func elapsed(at now: Instant) -> Duration {
    guard let runsSince else { return spent }
    return spent + max(.zero, now - runsSince)
  }
}
