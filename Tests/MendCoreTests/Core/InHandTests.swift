import MendCore
import TestSupport
import Testing

@Suite("Which batch is in hand")
struct InHandTests {
  @Test("Whatever the core works on is named as it begins: what is started, what is due, what is reviewed")
  func named() {
    let seen = Seen<String>()
    var harness = Harness(cpus: 1)
    harness.core.onBatch = { seen.add($0.batchID) }
    harness.submit([tier(extractor(timers: Timers(run: .seconds(30))))], id: "first")
    #expect(Set(seen.take()) == ["first"])
    harness.submit([tier(extractor())], timeout: .seconds(90), id: "second")
    #expect(seen.take().contains("second"))
    _ = harness.core.review(at: harness.now)
    #expect(Set(seen.take()) == ["first", "second"])
    harness.run(batch: "first")
    _ = seen.take()
    // The end of one lets the other start; what is still to do then is the first's.
    harness.finish(batch: "first")
    let order = seen.take()
    #expect(order.contains("second") && order.last == "first")
    harness.tick(after: 91)
    #expect(seen.take().contains("second"))
  }

  @Test("Who is told changes nothing of what is decided")
  func changesNothing() {
    func journal(_ onBatch: (@Sendable (BatchKey) -> Void)?) -> [Record] {
      var harness = Harness(cpus: 1)
      harness.core.onBatch = onBatch
      harness.submit([tier(extractor(shards: 2))])
      harness.finish()
      harness.tick(after: 100)
      return harness.journal[harness.key] ?? []
    }
    #expect(journal(nil) == journal { _ in })
  }
}
