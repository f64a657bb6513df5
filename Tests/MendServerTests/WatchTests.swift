import MendAPI
import MendCore
import MendRPC
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendServer

@Suite("WatchProgress over a runtime", .timeLimit(.minutes(1)))
struct WatchTests {
  private func request(_ batchID: String, after sequence: UInt64 = 0, interval: Double = 0.02) -> WatchProgressRequest {
    var request = WatchProgressRequest()
    request.batchID = batchID
    request.afterSequence = sequence
    request.minIntervalSeconds = interval
    return request
  }

  private func call() -> Call {
    Call(
      requestID: RequestID(prefix: "req-", number: 2), method: Batches.Methods.watchProgress, namespace: "default",
      actor: "caller")
  }

  /// Watches to the end.
  private func watch(_ harness: Harness, _ request: WatchProgressRequest) async throws -> [WatchProgressResponse] {
    let received = Seen<WatchProgressResponse>()
    try await harness.batches.watch(request, call()) { received.add($0) }
    return received.all
  }

  /// No gap, no repeat, one terminal message, and that the last.
  private func checkChain(_ messages: [WatchProgressResponse], after sequence: UInt64) throws {
    var told = sequence
    var lastChange = sequence
    for message in messages {
      #expect(message.previousSequence == told)
      #expect(message.sequence >= told)
      for change in message.changes {
        #expect(change.sequence > lastChange)
        #expect(change.sequence <= message.sequence)
        lastChange = change.sequence
      }
      told = message.sequence
    }
    #expect(messages.dropLast().allSatisfy { !$0.terminal })
    #expect(try #require(messages.last).terminal)
  }

  private func finish(_ harness: Harness, _ batchID: String, documents: Int) async throws {
    let job = JobID(tier: 0, index: 0)
    let token = await harness.token(batchID, job)
    for document in try await harness.claim(token, documents) { try await harness.report(token, completed: [document]) }
    let key = AttemptKey(batch: BatchKey(namespace: "default", batchID: batchID), job: job, number: 1)
    harness.executor.exit(key, code: 0)
    _ = try await harness.batch(batchID) { $0.status == .completed }
  }

  @Test("a snapshot, deltas without gap or repeat, then the terminal message")
  func wholeLife() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 20)
      let received = Seen<WatchProgressResponse>()
      async let watching: Void = harness.batches.watch(request("b1"), call()) { received.add($0) }
      await received.wait(for: 1)
      var submission = SubmitBatchRequest()
      submission.batchID = "b1"
      _ = try await harness.batches.submitBatch(submission, context: harness.context(Batches.Methods.submitBatch))
      try await finish(harness, "b1", documents: 20)
      try await watching
      let messages = received.all
      let first = try #require(messages.first)
      #expect(first.snapshot && first.snapshotReason.isEmpty && first.previousSequence == 0)
      #expect(first.status == .created && first.tiers.count == 1)
      #expect(messages.dropFirst().allSatisfy { !$0.snapshot })
      try checkChain(messages, after: 0)
      let last = try #require(messages.last)
      #expect(last.status == .completed && last.overallProgress == 100)
      #expect(last.progress?.completed == 20)
      // Every change of state since the snapshot was told.
      let key = BatchKey(namespace: "default", batchID: "b1")
      let all = try #require(harness.runtime.view(of: key)).batch.recentChanges.filter { $0.sequence > first.sequence }
      #expect(messages.flatMap(\.changes).map(\.sequence) == all.map(\.sequence))
    }
  }

  @Test("a batch that is over gives one message, snapshot and terminal")
  func alreadyOver() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 2)
      try await finish(harness, "b1", documents: 2)
      let messages = try await watch(harness, request("b1"))
      #expect(messages.count == 1)
      #expect(messages.first?.snapshot == true && messages.first?.terminal == true)
    }
  }

  @Test("resumed at any sequence, nothing is missed and nothing is told twice")
  func resume() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 5)
      try await finish(harness, "b1", documents: 5)
      let key = BatchKey(namespace: "default", batchID: "b1")
      let batch = try #require(harness.runtime.view(of: key)).batch
      for sequence in 1...batch.sequence {
        let messages = try await watch(harness, request("b1", after: sequence))
        #expect(messages.allSatisfy { !$0.snapshot })
        try checkChain(messages, after: sequence)
        let expected = batch.recentChanges.map(\.sequence).filter { $0 > sequence }
        #expect(messages.flatMap(\.changes).map(\.sequence) == expected)
      }
    }
  }

  @Test("resumed at the terminal sequence, the terminal message comes again")
  func resumeAtEnd() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 1)
      try await finish(harness, "b1", documents: 1)
      let end = try #require(try await watch(harness, request("b1")).last)
      let again = try await watch(harness, request("b1", after: end.sequence))
      #expect(again.count == 1)
      #expect(again.first?.terminal == true && again.first?.snapshot == false)
      #expect(again.first?.sequence == end.sequence && again.first?.changes.isEmpty == true)
    }
  }

  @Test("a sequence that the batch has not reached is out of range")
  func beyond() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      let facts = try await failure { try await watch(harness, request("b1", after: 10_000)) }
      #expect(facts.code == .outOfRange)
      #expect(facts.message.contains("0 for a snapshot"))
    }
  }

  @Test("a server that stops says where to resume")
  func shutdown() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      let received = Seen<WatchProgressResponse>()
      async let watching: Void = harness.batches.watch(request("b1"), call()) { received.add($0) }
      await received.wait(for: 1)
      harness.drain.begin()
      do {
        try await watching
        Issue.record("a watch ended normally without a terminal message")
      } catch let error as RPCError {
        let sequence = try #require(received.all.last?.sequence)
        #expect(error.code == .unavailable)
        #expect(error.metadata["mend-resume-sequence"] == "\(sequence)")
        #expect(error.message.contains("after_sequence \(sequence)"))
        #expect(try ErrorFacts(error).retry != nil)
      }
    }
  }

  @Test("a slow reader gets fewer, newer messages with all changes of state")
  func slowReader() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 50)
      let received = Seen<WatchProgressResponse>()
      let (gate, open) = AsyncStream.makeStream(of: Void.self)
      async let watching: Void = harness.batches.watch(request("b1"), call()) { message in
        received.add(message)
        // The first message isn't taken before the batch is over.
        if received.all.count == 1 { for await _ in gate {} }
      }
      await received.wait(for: 1)
      var submission = SubmitBatchRequest()
      submission.batchID = "b1"
      _ = try await harness.batches.submitBatch(submission, context: harness.context(Batches.Methods.submitBatch))
      try await finish(harness, "b1", documents: 50)
      open.finish()
      try await watching
      #expect(received.all.count == 2)
      try checkChain(received.all, after: 0)
      #expect(received.all.last?.changes.contains { $0.subject == "batch" && $0.to == "running" } == true)
    }
  }

  @Test("a watch goes on after a restart where it was")
  func restart() async throws {
    let directory = try TemporaryDirectory()
    let told = Mutex<UInt64>(0)
    try await Harness.run(in: directory.path) { harness in
      try await harness.submit("b1", documents: 3)
      let token = await harness.token("b1", JobID(tier: 0, index: 0))
      _ = try await harness.claim(token, 1)
      try await harness.report(token, completed: ["d0"])
      let received = Seen<WatchProgressResponse>()
      async let watching: Void = harness.batches.watch(request("b1"), call()) { received.add($0) }
      await received.wait(for: 1)
      harness.drain.begin()
      try? await watching
      told.withLock { $0 = received.all.last?.sequence ?? 0 }
    }
    let sequence = told.withLock { $0 }
    try await Harness.run(in: directory.path) { harness in
      // Calls wait for the recovery, views don't.
      _ = try? await harness.claim("0123456789abcdef0123456789abcdef", 1)
      async let messages = watch(harness, request("b1", after: sequence))
      var cancel = CancelBatchRequest()
      cancel.batchID = "b1"
      _ = try await harness.batches.cancelBatch(cancel, context: harness.context(Batches.Methods.cancelBatch))
      try await checkChain(messages, after: sequence)
    }
  }

  @Test("intervals that are none are refused")
  func intervals() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      for interval in [-1, Double.nan, 4000] {
        let facts = try await failure { try await watch(harness, request("b1", interval: interval)) }
        #expect(facts.badRequest?.fieldViolations.first?.field == "min_interval_seconds")
      }
    }
  }
}
