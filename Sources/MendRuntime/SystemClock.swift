import Foundation
public import MendCore

#if canImport(Glibc)
import Glibc
#endif

/// The machine's time: the wall clock read once, and a monotonic clock since. Setting the wall clock moves nothing.
public struct SystemClock: Clock {
  private let origin: Instant
  private let startNanoseconds: UInt64
  private let sleepers: Sleepers

  public init() {
    startNanoseconds = Self.monotonicNanoseconds()
    sleepers = Sleepers(now: Self.monotonicNanoseconds)
    origin = Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
  }

  /// In whole numbers: `Duration` is 128 bits wide, and every call asks for the time.
  public func now() -> Instant {
    Instant(milliseconds: origin.milliseconds + Int64((Self.monotonicNanoseconds() - startNanoseconds) / 1_000_000))
  }

  /// Also while the machine is suspended, as `ContinuousClock` has it.
  @Sendable private static func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  public func sleep(until deadline: Instant) async {
    guard deadline > origin else { return }
    // What does not fit is later than any machine runs.
    let (left, overflows) = deadline.milliseconds.subtractingReportingOverflow(origin.milliseconds)
    let (nanoseconds, isEndless) = UInt64(overflows ? .max : left).multipliedReportingOverflow(by: 1_000_000)
    await sleepers.sleep(until: startNanoseconds + (isEndless ? .max / 2 : min(nanoseconds, .max / 2)))
  }
}
