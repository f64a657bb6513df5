import Foundation
public import MendCore

/// The machine's time: the wall clock read once, and a monotonic clock since. Setting the wall clock moves nothing.
public struct SystemClock: Clock {
  private let origin: Instant
  private let start: ContinuousClock.Instant

  /// The longest single sleep; a later deadline is slept for in pieces, so that no deadline overflows.
  private static let longestSleep: Duration = .seconds(24 * 3600)

  public init() {
    start = ContinuousClock.now
    origin = Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
  }

  public func now() -> Instant { origin + (ContinuousClock.now - start) }

  public func sleep(until deadline: Instant) async {
    while !Task.isCancelled {
      let elapsed = ContinuousClock.now - start
      let left = deadline - (origin + elapsed)
      guard left > .zero else { return }
      // A cancelled sleep ends the loop by its condition.
      try? await Task.sleep(until: start + elapsed + min(left, Self.longestSleep), clock: .continuous)
    }
  }
}
