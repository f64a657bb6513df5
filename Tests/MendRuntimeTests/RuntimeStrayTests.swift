import Logging
import MendCore
import MendRuntime
import TestSupport
import Testing

/// Launches that executors see and that are no live batch's.
@Suite struct RuntimeStrayTests {
  private struct Warnings: LogHandler {
    let seen = Seen<Logger.Metadata>()
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.warning
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { seen.add(event.metadata ?? [:]) }
  }

  @Test("what runs for a batch that is over or was never here is told once in the log, and left alone")
  func strays() async throws {
    let warnings = Warnings()
    var limits = Limits()
    limits.retireAfter = .seconds(60)
    let harness = try Harness(
      limits: limits, logger: Logger(label: "test") { _ in warnings })
    try await harness.run { harness in
      func attempt(_ batch: String) -> AttemptKey {
        AttemptKey(batch: harness.key(batch), job: JobID(tier: 0, index: 0), number: 1)
      }
      _ = await harness.create("over")
      _ = await harness.send(.cancel(batchID: "over", .batch, grace: .zero))
      _ = await harness.create("live")
      harness.clock.advance(by: .seconds(60))
      try await eventually("it is retired") { harness.runtime.statistics.batchesRetired == 1 }
      for _ in 0..<3 {
        for batch in ["over", "live", "nobodys"] {
          harness.executor.say(.duplicate(attempt(batch), reference: "ref-\(batch)"))
        }
      }
      harness.executor.say(.duplicate(attempt("last"), reference: "ref-last"))
      try await eventually("all are told") { warnings.seen.all.contains { $0["reference"] == "ref-last" } }
      #expect(warnings.seen.all.map { $0["reference"] } == ["ref-over", "ref-nobodys", "ref-last"])
      #expect(warnings.seen.all.map { $0["batch_is"] == "over" } == [true, false, false])
      #expect(
        warnings.seen.all.allSatisfy {
          "\($0["todo"] ?? "")".contains("end it where it runs; at a cluster: stop-job 'ref-")
        })
      #expect(!harness.trace.all.contains { $0.contains("stray") })
    }
  }
}
