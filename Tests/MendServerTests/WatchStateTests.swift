import MendAPI
import MendCore
import Testing

@testable import MendServer

@Suite("What a watcher is told next")
struct WatchStateTests {
  private let start = Instant(milliseconds: 1_700_000_000_000)
  private let fine = HealthReport(.ok)

  private func batch() throws -> Batch {
    let key = BatchKey(namespace: "default", batchID: "b1")
    let extractor = MendCore.ExtractorSpecification(name: "text", work: .entrypoint("engine"))
    let specification = MendCore.BatchSpecification(
      tiers: [MendCore.TierSpecification(extractors: [extractor])])
    return try #require(
      Batch.creating(
        Record(batch: key, sequence: 1, at: start, cause: .caller, fact: .batchCreated(specification))))
  }

  private func sent(_ step: WatchState.Step) throws -> WatchProgressResponse {
    guard case .send(let message) = step else {
      Issue.record("nothing to send: \(step)")
      throw NothingThrown()
    }
    return message
  }

  private func change(_ sequence: UInt64) -> MendCore.StateChange {
    MendCore.StateChange(sequence: sequence, subject: .batch, from: "queued", to: "running", reason: "", at: start)
  }

  @Test("counts wait for the interval, a change of state does not")
  func rates() throws {
    var batch = try batch()
    var state = WatchState(minInterval: .seconds(1))
    #expect(try sent(state.next(batch, fine, at: start)).snapshot)
    batch.sequence += 1
    let soon = start + .milliseconds(100)
    #expect(state.next(batch, fine, at: soon) == .wait(after: batch.sequence, until: start + .seconds(1)))
    batch.sequence += 1
    batch.recentChanges.append(change(batch.sequence))
    let message = try sent(state.next(batch, fine, at: soon))
    #expect(message.changes.map(\.sequence) == [batch.sequence])
    #expect(message.previousSequence == 1 && message.sequence == batch.sequence)
    batch.sequence += 1
    #expect(try sent(state.next(batch, fine, at: soon + .seconds(1))).changes.isEmpty)
  }

  @Test("nothing happened: it looks again within a second, and tells that time made the batch stuck")
  func healthByTime() throws {
    let batch = try batch()
    var state = WatchState(minInterval: .milliseconds(200))
    _ = try sent(state.next(batch, fine, at: start))
    #expect(state.next(batch, fine, at: start) == .wait(after: 1, until: start + .seconds(1)))
    let message = try sent(state.next(batch, HealthReport(.stuck, .noProgress), at: start + .seconds(1)))
    #expect(message.health == .stuck && message.healthReason == .noProgress)
    #expect(message.sequence == 1 && message.previousSequence == 1 && !message.terminal)
    #expect(message.tiers.isEmpty)
  }

  @Test("a gap that the batch can no longer fill gives a snapshot that says so")
  func gap() throws {
    var batch = try batch()
    var state = WatchState(after: 1, report: fine, minInterval: .milliseconds(200))
    batch.sequence = 5000
    batch.changesDroppedThrough = 2000
    batch.recentChanges = [change(4000)]
    let message = try sent(state.next(batch, fine, at: start))
    #expect(message.snapshot && message.snapshotReason == "gap_too_old")
    #expect(message.previousSequence == 1 && message.sequence == 5000)
    #expect(message.changes.isEmpty && message.tiers.count == 1)
    batch.sequence = 5001
    batch.recentChanges.append(change(5001))
    let delta = try sent(state.next(batch, fine, at: start))
    #expect(!delta.snapshot && delta.changes.map(\.sequence) == [5001])
  }

  @Test("changes that were dropped before the resumed sequence are no gap")
  func noGap() throws {
    var batch = try batch()
    batch.sequence = 5000
    batch.changesDroppedThrough = 2000
    batch.recentChanges = [change(2500), change(4000)]
    var state = WatchState(after: 2000, report: fine, minInterval: .milliseconds(200))
    let message = try sent(state.next(batch, fine, at: start))
    #expect(!message.snapshot && message.changes.map(\.sequence) == [2500, 4000])
  }

  @Test("a resumed watch with nothing new waits")
  func quiet() throws {
    let batch = try batch()
    var state = WatchState(after: 1, report: fine, minInterval: .milliseconds(200))
    #expect(state.next(batch, fine, at: start) == .wait(after: 1, until: start + .seconds(1)))
  }

  @Test("a delta has only the tiers that changed")
  func tiers() throws {
    var batch = try batch()
    var state = WatchState(minInterval: .milliseconds(20))
    _ = try sent(state.next(batch, fine, at: start))
    batch.sequence += 1
    #expect(try sent(state.next(batch, fine, at: start + .seconds(1))).tiers.isEmpty)
    batch.sequence += 1
    batch.tiers[0].handed = DocumentSet(all: 4)
    batch.tiers[0].done = DocumentSet(all: 1)
    let message = try sent(state.next(batch, fine, at: start + .seconds(2)))
    #expect(message.tiers.map(\.processedDocuments) == [1])
    #expect(message.tiers.map(\.percentage) == [25])
  }
}
