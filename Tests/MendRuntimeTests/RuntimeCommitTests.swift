@testable import MendCore
import MendRuntime
import TestSupport
import Testing

/// Durable, then visible.
struct RuntimeCommitTests {
  @Test("an answer comes after its commit, and its view with it")
  func answerAfterCommit() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      harness.store.hold()
      async let reply = harness.create("b")
      try await eventually("the commit begins") { harness.store.isCommitting }
      #expect(harness.runtime.view(of: harness.key("b")) == nil)
      #expect(harness.runtime.statistics.unansweredCalls == 1)
      harness.trace.add("released")
      harness.store.release()
      #expect(await reply == .success(.created(.init(batchID: "b", status: .created, totalObjects: 2))))
      harness.trace.add("answered")
      #expect(harness.runtime.view(of: harness.key("b"))?.batch.documents.count == 2)
      let order = harness.trace.all.filter { !$0.hasPrefix("committed 0") }
      #expect(order == ["released", "committed 2", "answered"])
    }
  }

  @Test("calls that come while a commit is under way share the next one")
  func groupCommit() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      harness.store.hold()
      await withTaskGroup(of: Bool.self) { group in
        group.addTask { if case .success = await harness.create("first") { true } else { false } }
        try? await eventually("the commit begins") { harness.store.isCommitting }
        for caller in 0..<63 {
          group.addTask { if case .success = await harness.create("b\(caller)") { true } else { false } }
        }
        try? await eventually("all of them wait") { harness.runtime.statistics.mailboxDepth == 63 }
        harness.store.release()
        for await succeeded in group { #expect(succeeded) }
      }
      #expect(harness.store.commits.count == 2)
      #expect(harness.runtime.statistics.commits == 2)
      #expect(harness.runtime.statistics.batchesCreated == 64)
    }
  }

  @Test("64 concurrent callers need far fewer commits than calls")
  func manyCallers() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      await withTaskGroup(of: Void.self) { group in
        for caller in 0..<64 {
          group.addTask {
            for call in 0..<10 {
              guard case .success = await harness.create("b\(caller)-\(call)", documents: 1) else {
                Issue.record("a call failed")
                return
              }
            }
          }
        }
      }
      #expect(harness.runtime.statistics.batchesCreated == 640)
      #expect(harness.store.commits.count < 320)
    }
  }

  @Test("a failed commit stops the runtime, and nothing of its round gets out")
  func failedCommit() async throws {
    let harness = try Harness()
    let outcome = try await harness.run { harness in
      _ = await harness.create("b")
      harness.store.fail(commit: 1)
      let reply = await harness.send(.submitBatch(batchID: "b"))
      guard case .failure(.unavailable(let message)) = reply else {
        Issue.record("\(reply)")
        return
      }
      #expect(message.contains("whether this was carried out is unknown"))
      #expect(harness.runtime.view(of: harness.key("b"))?.batch.status == .created)
      #expect(harness.executor.launched.isEmpty)
      // And whoever comes later is refused at once.
      guard case .failure(.unavailable) = await harness.create("c") else {
        Issue.record("a call was taken after the end")
        return
      }
    }
    #expect(outcome == .store(StoreError(operation: "commit", message: "the disk is gone")))
  }

  @Test("a store that cannot recover stops the runtime before the first call")
  func failedRecovery() async throws {
    let harness = try Harness()
    harness.store.failRecovery()
    let outcome = try await harness.run { harness in
      guard case .failure(.unavailable) = await harness.create("b") else {
        Issue.record("a call was taken")
        return
      }
    }
    #expect(outcome == .store(StoreError(operation: "recover", message: "the disk is gone")))
  }

  @Test("an executor is called after the intent is durable, and reads what is left to do")
  func launchAfterCommit() async throws {
    let harness = try Harness(answersAtOnce: true)
    try await harness.run { harness in
      _ = await harness.create("b", documents: 5)
      _ = await harness.send(.submitBatch(batchID: "b"))
      try await eventually("both jobs are launched") { harness.executor.launched.count == 2 }
      let intents = harness.store.commits.flatMap { $0 }.filter { write in
        if case .record(let record) = write, case .attemptIntended = record.fact { true } else { false }
      }
      #expect(intents.count == 2)
      let commit = try #require(harness.trace.all.lastIndex { $0.hasPrefix("committed") })
      #expect(commit > 0)
      let first = try #require(harness.trace.all.firstIndex { $0.hasPrefix("launched") })
      #expect(harness.trace.all[..<first].contains { $0.hasPrefix("committed") })
      #expect(harness.executor.launched.map { $0.documents().map(\.id) } == [["d0", "d2", "d4"], ["d1", "d3"]])
      // What the executor said from within the call came through the mailbox.
      try await eventually("both run") {
        harness.runtime.view(of: harness.key("b"))?.batch.tiers[0].jobs.allSatisfy { $0.status == .running } == true
      }
      #expect(harness.runtime.statistics.runningAttempts == 2)
    }
  }

  @Test("it runs once")
  func runsOnce() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      await #expect(throws: RuntimeError.alreadyRun) { try await harness.runtime.run() }
    }
  }
}
