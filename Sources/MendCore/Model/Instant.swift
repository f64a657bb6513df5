/// A point in time, in whole milliseconds since the Unix epoch.
///
/// The core never asks what time it is: every `Instant` arrives as an argument. The runtime derives them from a wall
/// clock read once and a monotonic clock since, so within one process they never run backwards.
package struct Instant: Hashable, Comparable, Codable, Sendable {
  package var milliseconds: Int64

  package init(milliseconds: Int64) { self.milliseconds = milliseconds }

  package static let distantFuture = Instant(milliseconds: .max)
  static let distantPast = Instant(milliseconds: .min)

  package static func < (left: Instant, right: Instant) -> Bool { left.milliseconds < right.milliseconds }

  package static func + (left: Instant, right: Duration) -> Instant {
    let (sum, overflow) = left.milliseconds.addingReportingOverflow(right.milliseconds)
    return overflow ? Instant(milliseconds: sum < 0 ? .max : .min) : Instant(milliseconds: sum)
  }

  package static func - (left: Instant, right: Instant) -> Duration {
    .milliseconds(left.milliseconds.subtractingSaturated(right.milliseconds))
  }
}

extension Duration {
  /// Whole milliseconds, rounded towards zero and saturated.
  package var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    return overflow
      ? (seconds < 0 ? .min : .max) : product.addingSaturated(attoseconds / 1_000_000_000_000_000)
  }

  /// Seconds with a fraction, for people and for `..._seconds` fields.
  package var inSeconds: Double { Double(milliseconds) / 1000 }

  package static func seconds(_ seconds: Double) -> Duration {
    .milliseconds(Int64((min(max(seconds, 0), 3.0e11) * 1000).rounded()))
  }
}
