import MendAPI
import MendCore
import MendRPC
import MendRuntime
import Testing

@testable import MendServer

@Suite struct NotifierTests {
  @Test("what waits beyond the outbox's limit is given up, oldest first, and the histories say so")
  func outboxLimit() async throws {
    var limits = Limits()
    limits.notifies = true
    try await Harness.run(limits: limits) { harness in
      for number in 0..<5 {
        var creation = Harness.creation("b\(number)", documents: 1)
        creation.batch?.notificationEnabled = true
        _ = try await harness.batches.createBatch(creation, context: harness.context(Batches.Methods.createBatch))
        var cancel = CancelBatchRequest()
        cancel.batchID = "b\(number)"
        _ = try await harness.batches.cancelBatch(cancel, context: harness.context(Batches.Methods.cancelBatch))
      }
      #expect(try await harness.runtime.outboxState().count == 5)
      // Nobody listens there, and what failed once waits longer than the test.
      var settings = try WebhookSettings(url: "http://127.0.0.1:1/", secret: Array("0123456789abcdef".utf8))
      settings.outboxLimit = 2
      settings.backoff = .seconds(3600)
      let notifier = Notifier(runtime: harness.runtime, settings: settings, logger: Harness.quiet)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await notifier.run() }
        let deadline = ContinuousClock.now + .seconds(60)
        while try await harness.runtime.outboxState().count > 2, ContinuousClock.now < deadline { await Task.yield() }
        group.cancelAll()
        try await group.waitForAll()
      }
      #expect(try await harness.runtime.outboxState().count == 2)
      var givenUp: [String] = []
      for number in 0..<5 {
        let key = BatchKey(namespace: "default", batchID: "b\(number)")
        for record in try await harness.runtime.journal(of: key, after: 0) {
          guard case .notificationSettled(let outcome) = record.fact else { continue }
          #expect(!outcome.delivered && outcome.detail == "2 notifications wait already")
          givenUp.append(key.batchID)
        }
      }
      #expect(givenUp.count == 3)
    }
  }
}
