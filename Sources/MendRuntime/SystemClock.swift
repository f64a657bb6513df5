import Foundation
public import MendCore

#if canImport(Glibc)
import Glibc
#endif

/// The machine's time: the wall clock read once, and a monotonic clock since. Setting the wall clock moves nothing.
public struct SystemClock: Clock {
  private let origin: Instant
  private let start: ContinuousClock.Instant
  private let startNanoseconds: UInt64

  /// The longest single sleep; a later deadline is slept for in pieces, so that no deadline overflows.
  private static let longestSleep: Duration = .seconds(24 * 3600)

  public init() {
    start = ContinuousClock.now
    startNanoseconds = Self.monotonicNanoseconds()
    origin = Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
  }

  /// In whole numbers: `Duration` is 128 bits wide, and every call asks for the time.
  public func now() -> Instant {
    Instant(milliseconds: origin.milliseconds + Int64((Self.monotonicNanoseconds() - startNanoseconds) / 1_000_000))
  }

  /// The same clock that `ContinuousClock` reads.
  private static func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

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
