import Testing

@testable import MendCore

@Suite("Worker reports")
struct WorkerTests {
  @Test("An attempt moves from intent to taken to running, and its job with it")
  func starts() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    #expect(harness.job().attempts[0].state == .intended)
    let handle = ExecutorHandle(node: "n", pid: 7, reference: "r")
    harness.see(.taken(harness.attempt(), handle))
    #expect(harness.job().attempts[0].state == .starting)
    #expect(harness.job().attempts[0].handle == handle)
    harness.see(.started(harness.attempt()))
    #expect(harness.job().attempts[0].state == .running)
    #expect(harness.job().status == .running)
    #expect(harness.job().attempts[0].hasReported == false)
    guard case .success(.workerStarted(let assignment)) = harness.say(harness.token(), .start) else {
      Issue.record("not started")
      return
    }
    #expect(assignment.documentsLeft == 3)
    #expect(assignment.collectionID == "text")
    #expect(assignment.heartbeat == .seconds(20))
    #expect(harness.job().attempts[0].hasReported)
    #expect(harness.token().utf8.count == 32)
  }

  @Test("Intent is durable before the launch: the writes name the attempt that the effect launches")
  func intentFirst() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    let intents = harness.output.writes.compactMap { write -> Int? in
      if case .record(let record) = write, case .attemptIntended(let intended) = record.fact {
        intended.number
      } else {
        nil
      }
    }
    #expect(intents == [1])
    #expect(harness.launches.map(\.number) == [1])
  }

  @Test("Claims go in order, are bounded, and finish when nothing is left or in process")
  func claims() {
    var limits = Limits()
    limits.documentsPerClaim = 2
    var harness = Harness(limits: limits)
    harness.submit([tier(extractor())], documents: 3)
    harness.run()
    #expect(harness.claim(100) == ["d0", "d1"])
    #expect(harness.claim(0) == ["d2"])
    #expect(
      harness.say(harness.token(), .claim(maximum: 1))
        == .success(.claimed(.init(retryAfter: limits.claimRetryBusy))))
    harness.report(["d0", "d1", "d2"])
    #expect(
      harness.say(harness.token(), .claim(maximum: 1)) == .success(.claimed(.init(isFinished: true))))
  }

  @Test("Shards share the documents: document i belongs to shard i mod shards")
  func shards() {
    var harness = Harness()
    harness.submit([tier(extractor(shards: 2))], documents: 5)
    harness.run(0, 0)
    harness.run(0, 1)
    #expect(harness.claim(10, 0, 0) == ["d0", "d2", "d4"])
    #expect(harness.claim(10, 0, 1) == ["d1", "d3"])
  }

  @Test("A document is committed once; what comes again is counted and shown")
  func commitsOnce() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    #expect(harness.report(["d0", "d0", "d1"]) == .success(.reported(.init(accepted: 2, repeated: 1, stop: false))))
    #expect(harness.report(["d1"], failed: ["d0"]) == .success(.reported(.init(accepted: 0, repeated: 2, stop: false))))
    #expect(harness.job().repeatedWork == 3)
    #expect(harness.job().committed.count == 2 && harness.job().failed.isEmpty)
  }

  @Test("Failed and released documents leave the process list, with the error kept")
  func failsAndReleases() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    let failure = WorkerRequest.Failure(
      documentID: "d1", code: "format_error", message: "not a PDF", details: ["page": "3"])
    _ = harness.say(harness.token(), .report(.init(completed: ["d0"], failed: [failure], released: ["d2"])))
    #expect(harness.job().processing.isEmpty)
    #expect(harness.job().errors[1]?.code == "format_error")
    #expect(harness.job().errors[1]?.details == ["page": "3"])
    #expect(harness.job().pendingCount == 1)
    #expect(harness.claim(3) == ["d2"])
  }

  @Test("A claim that is made again under its name is answered the same documents, what is settled left out")
  func repeatedClaim() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 6)
    harness.run()
    #expect(harness.claim(2, id: "a-0") == ["d0", "d1"])
    #expect(harness.claim(2, id: "b-0") == ["d2", "d3"])
    #expect(harness.claim(2, id: "a-0") == ["d0", "d1"] && harness.output.writes.isEmpty)
    harness.report(["d2"])
    #expect(harness.claim(5, id: "b-0") == ["d3"])
    harness = harness.afterRestart()
    #expect(harness.claim(2, id: "a-0") == ["d0", "d1"], "the journal has the name")
    harness.report(["d0", "d1", "d3"])
    #expect(harness.claim(2, id: "a-0") == ["d4", "d5"], "nothing of the first is left")
    harness.report(["d4", "d5"])
    harness.end(.exited(0))
    #expect(harness.job().status == .succeeded && harness.job().attempts[0].claims.isEmpty)
  }

  @Test("A claim's name is bounded, and so is how many are remembered")
  func claimBounds() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 40)
    harness.run()
    let long = String(repeating: "x", count: Attempt.claimIDLength + 1)
    let refused = harness.say(harness.token(), .claim(maximum: 1, id: long))
    guard case .failure(.invalid(let field, _)) = refused else {
      Issue.record("\(String(describing: refused))")
      return
    }
    #expect(field == "claim_id")
    for number in 0..<20 { #expect(harness.claim(1, id: "w\(number)") == ["d\(number)"]) }
    #expect(harness.job().attempts[0].claims.count == Attempt.claimsLimit)
    #expect(harness.claim(1, id: "w19") == ["d19"])
    #expect(harness.claim(1, id: "w0") == ["d20"], "too old to be remembered")
  }

  @Test("Assigned documents may be reported without a claim")
  func unclaimed() {
    var harness = Harness()
    harness.submit([tier(extractor(opaque: true))])
    harness.see(.started(harness.attempt()))
    #expect(harness.report(["d2"]) == .success(.reported(.init(accepted: 1, repeated: 0, stop: false))))
    #expect(harness.job().committed.contains(2))
  }

  @Test("A report that names an unknown document is refused by its field, and nothing of it is applied")
  func unknownDocuments() {
    var harness = Harness()
    harness.submit([tier(extractor(shards: 2))])
    harness.run()
    let answer = harness.report(["d0", "nope", "d1"])
    guard case .failure(.invalid("completed[1]", let rule)) = answer else {
      Issue.record("\(String(describing: answer))")
      return
    }
    #expect(rule.contains("nope, d1"))
    #expect(harness.job().committed.isEmpty)
    #expect(harness.output.writes.isEmpty)
  }

  @Test("A token of no attempt is unknown, one of an ended attempt is stale, refused and counted")
  func fences() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .retry, backoff: .zero)]))])
    #expect(harness.say("made-up", .start) == .failure(.unknownToken))
    harness.run()
    let old = harness.token()
    _ = harness.claim(1)
    harness.end(.exited(1))
    #expect(harness.job().attempts.count == 2)
    for operation in [WorkerRequest.Operation.start, .claim(maximum: 1), .report(.init(completed: ["d0"]))] {
      guard case .failure(.aborted) = harness.say(old, operation) else {
        Issue.record("a stale attempt was heard")
        return
      }
    }
    #expect(harness.job().attempts[0].staleReports == 3)
    #expect(harness.job().committed.isEmpty)
  }

  @Test("max_concurrent bounds the documents in process over all jobs, and the attempts")
  func maxConcurrent() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b"), extractor("c"))], documents: 5, maxConcurrent: 2)
    #expect(harness.batch.tiers[0].jobs.filter { $0.current != nil }.count == 2)
    harness.run(0, 0)
    harness.run(0, 1)
    #expect(harness.claim(5, 0, 0) == ["d0", "d1"])
    #expect(
      harness.say(harness.token(0, 1), .claim(maximum: 1))
        == .success(.claimed(.init(retryAfter: harness.core.limits.claimRetryBusy))))
    harness.report(["d0"], 0, 0)
    #expect(harness.claim(5, 0, 1) == ["d0"])
  }

  @Test("Beats keep the heartbeat, documents and stages move the activity")
  func liveness() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    let start = harness.now
    harness.advance(5)
    _ = harness.say(harness.token(), .report(.init()))
    #expect(harness.job().attempts[0].lastHeartbeatAt == harness.now)
    #expect(harness.job().attempts[0].lastActivityAt == start)
    #expect(harness.output.writes.isEmpty)
    _ = harness.say(harness.token(), .report(.init(stage: "parse")))
    #expect(harness.job().attempts[0].lastActivityAt == harness.now)
    harness.advance(5)
    _ = harness.say(harness.token(), .report(.init(stage: "parse")))
    #expect(harness.output.writes.isEmpty)
    harness.report(["d0"])
    #expect(harness.batch.lastActivityAt == harness.now)
    #expect(harness.batch.tiers[0].lastActivityAt == harness.now)
  }

  @Test("Stages add up, and the last is closed by the attempt's end")
  func stages() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.say(harness.token(), .report(.init(stage: "parse")))
    harness.advance(3)
    _ = harness.say(
      harness.token(), .report(.init(stage: "embed", stageTimings: [.init(name: "parse", duration: .seconds(2))])))
    harness.advance(4)
    harness.end(.exited(1))
    #expect(
      harness.job().stages == [
        .init(name: "parse", duration: .seconds(5)), .init(name: "embed", duration: .seconds(4)),
      ])
  }

  @Test("What is written counts in the job's collection; another collection is refused")
  func collections() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.say(harness.token(), .report(.init(written: [.init(collectionID: "text", count: 2)])))
    _ = harness.say(harness.token(), .report(.init(written: [.init(collectionID: "text", count: 3)])))
    #expect(harness.job().written == 5)
    let other = harness.say(harness.token(), .report(.init(written: [.init(collectionID: "x", count: 3)])))
    guard case .failure(.invalid("written[0].collection_id", _)) = other else {
      Issue.record("another collection was taken")
      return
    }
  }

  @Test("An attempt that is being ended is told to stop, gets nothing more, and may still commit")
  func stops() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(1)
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(5)))
    #expect(harness.report(["d0"]) == .success(.reported(.init(accepted: 1, repeated: 0, stop: true))))
    #expect(
      harness.say(harness.token(), .claim(maximum: 1)) == .success(.claimed(.init(isFinished: true))))
  }

  @Test("A long message is cut by bytes, whatever its characters are made of, and no scalar is halved")
  func longMessages() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(2)
    let oneCharacter = "e" + String(repeating: "\u{301}", count: 100_000)
    let failures = [
      WorkerRequest.Failure(documentID: "d0", code: "c", message: oneCharacter),
      WorkerRequest.Failure(documentID: "d1", code: "c", message: "é" + String(repeating: "z€", count: 4000)),
    ]
    guard case .success = harness.say(harness.token(), .report(WorkerRequest.Report(failed: failures))) else {
      Issue.record("the report was refused")
      return
    }
    #expect(harness.job().errors[0]?.message == "e" + String(repeating: "\u{301}", count: 511))
    #expect(harness.job().errors[1]?.message.utf8.count == 1023)
    #expect(harness.job().errors[1]?.message.hasSuffix("€z") == true)
  }
}
