import MendCore
import TestSupport
import Testing

@testable import MendRuntime

@Suite("Sleepers")
struct SleepersTests {
  private static func now() -> UInt64 {
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
  // Made when it is first asked for, which is after the time was read.
  private static let start = ContinuousClock.now - .seconds(1)
  private static let hour: UInt64 = 3_600_000_000_000

  @Test("Each sleep ends at its own time or later, however they are ordered")
  func times() async {
    let sleepers = Sleepers(now: Self.now)
    let begin = Self.now()
    let notEarly = await withTaskGroup(of: Bool.self) { group in
      for milliseconds in [40, 5, 90, 5, 0, 20] as [UInt64] {
        group.addTask {
          let deadline = begin + milliseconds * 1_000_000
          await sleepers.sleep(until: deadline)
          return Self.now() >= deadline
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(notEarly == [true, true, true, true, true, true])
    #expect(sleepers.count == 0)
  }

  @Test("A cancelled sleep ends at once and leaves nothing; those beside it sleep on")
  func cancelled() async {
    let sleepers = Sleepers(now: Self.now)
    let long = Task { await sleepers.sleep(until: .max) }
    for _ in 0..<200 {
      let before = Task { await sleepers.sleep(until: Self.now() + Self.hour) }
      #expect(await eventually { sleepers.count == 2 })
      before.cancel()
      await before.value
      #expect(sleepers.count == 1)
    }
    // Cancelled before it began.
    await withTaskGroup(of: Void.self) { group in
      group.cancelAll()
      group.addTask { await sleepers.sleep(until: Self.now() + Self.hour) }
    }
    #expect(sleepers.count == 1)
    // The timer, which rang for none of those, still does for an earlier one.
    await sleepers.sleep(until: Self.now() + 1_000_000)
    long.cancel()
    await long.value
    #expect(sleepers.count == 0)
  }

  @Test("The machine's clock sleeps until what it shows, and takes every instant")
  func systemClock() async {
    let clock = SystemClock()
    let deadline = clock.now() + .milliseconds(3)
    await clock.sleep(until: deadline)
    #expect(clock.now() >= deadline)
    await clock.sleep(until: Instant(milliseconds: .min))
    for far in [Instant.distantFuture, Instant(milliseconds: .max)] {
      let sleep = Task { await clock.sleep(until: far) }
      await Task.yield()
      sleep.cancel()
      await sleep.value
    }
  }
}
