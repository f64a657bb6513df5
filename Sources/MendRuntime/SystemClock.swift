package import MendCore

/// The machine's time: the wall clock read once, and a monotonic clock since. Setting the wall clock moves nothing.
package struct SystemClock: Clock {
  private let origin: Instant
  private let startNanoseconds: UInt64
  private let sleepers: Sleepers
  /// How much later its time is than the wall clock's was as it began.
  package let aheadOfWall: Duration

  package init() { self.init(beginning: ClockBeginning(startingFrom: nil)) }

  /// Goes on from the time of the server that used this directory before, and leaves word for the next.
  ///
  /// - Parameter directory: of the journal, whose latest change is known to be past.
  package init(continuing directory: String) {
    let beginning = ClockBeginning(startingFrom: directory)
    self.init(beginning: beginning)
    beginning.leaveWord(in: directory)
  }

  private init(beginning: ClockBeginning) {
    startNanoseconds = beginning.monotonicNanoseconds
    sleepers = Sleepers(now: ClockBeginning.monotonicNanoseconds)
    origin = beginning.origin
    aheadOfWall = beginning.origin - beginning.wall
  }

  /// In whole numbers: `Duration` is 128 bits wide, and every call asks for the time.
  package func now() -> Instant {
    let elapsed = (ClockBeginning.monotonicNanoseconds() - startNanoseconds) / 1_000_000
    return Instant(milliseconds: origin.milliseconds + Int64(elapsed))
  }

  package func sleep(until deadline: Instant) async {
    guard deadline > origin else { return }
    // What does not fit is later than any machine runs.
    let (left, overflows) = deadline.milliseconds.subtractingReportingOverflow(origin.milliseconds)
    let (nanoseconds, isEndless) = UInt64(overflows ? .max : left).multipliedReportingOverflow(by: 1_000_000)
    await sleepers.sleep(until: startNanoseconds + (isEndless ? .max / 2 : min(nanoseconds, .max / 2)))
  }
}
