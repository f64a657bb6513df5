import Foundation
import MendCore
import TestSupport
import Testing

@testable import MendRuntime

@Suite("The time as a server starts")
struct SystemClockTests {
  private static let hour: Int64 = 3_600_000

  private func origin(
    wall: Int64, sinceBoot: Int64, boot: String = "b", word: ClockBeginning.Word? = nil, latestChange: Int64? = nil
  ) -> Int64 {
    ClockBeginning(
      wall: Instant(milliseconds: wall), monotonicNanoseconds: UInt64(sinceBoot) * 1_000_000, boot: boot, word: word,
      latestChange: latestChange.map { Instant(milliseconds: $0) }
    ).origin.milliseconds
  }

  @Test("Within one boot the time goes on, whatever the wall clock was set to meanwhile")
  func sameBoot() {
    let word = ClockBeginning.Word(boot: "b", offsetMilliseconds: 1_000_000)
    for wall in [1_005_000, 1_005_000 - Self.hour, 1_005_000 + 24 * Self.hour] {
      #expect(origin(wall: wall, sinceBoot: 5000, word: word, latestChange: 9_000_000) == 1_005_000)
    }
  }

  @Test("After another boot it is the wall clock's, but not before the journal's latest change")
  func otherBoot() {
    let word = ClockBeginning.Word(boot: "earlier", offsetMilliseconds: 1_000_000)
    #expect(origin(wall: 7000, sinceBoot: 5, word: word, latestChange: 6000) == 7000)
    #expect(origin(wall: 7000, sinceBoot: 5, word: word, latestChange: 8000) == 8000)
    #expect(origin(wall: 7000, sinceBoot: 5) == 7000)
    // Where the system does not say which boot it is, nothing is taken for the same.
    #expect(origin(wall: 7000, sinceBoot: 5, boot: "", word: .init(boot: "", offsetMilliseconds: 1)) == 7000)
  }

  @Test("What one leaves the next takes; what is no word of a clock is none")
  func word() throws {
    let directory = try TemporaryDirectory()
    let first = SystemClock(continuing: directory.path)
    #expect(abs(first.aheadOfWall.inSeconds) < 5)
    let path = ClockBeginning.path(in: directory.path)
    var word = try #require(ClockBeginning.Word(String(contentsOfFile: path, encoding: .utf8)))
    #expect(word.boot == ClockBeginning.boot())
    word.offsetMilliseconds += Self.hour
    try word.text.write(toFile: path, atomically: true, encoding: .utf8)
    let second = SystemClock(continuing: directory.path)
    #expect(abs(second.aheadOfWall.inSeconds - 3600) < 5)
    #expect(abs((second.now() - first.now()).inSeconds - 3600) < 5)
    for text in ["", "b", "b x", "b 1 2", "b 99999999999999999999"] { #expect(ClockBeginning.Word(text) == nil) }
  }
}
