import Testing

@testable import MendCore

@Suite("Cancel")
struct CancelTests {
  private let receipt = EndReceipt(processes: 2, how: "SIGTERM")

  @Test("Cancel records its intent before the signal, answers when all is gone, and says what was ended")
  func cancels() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b")), tier(extractor())])
    harness.run(0, 0)
    harness.run(0, 1)
    _ = harness.claim(1)
    #expect(harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(3)), key: "k") == nil)
    let call = CallID(harness.callCount)
    let intents = harness.output.writes.count { write in
      if case .record(let record) = write, case .attemptEnding = record.fact { true } else { false }
    }
    #expect(intents == 2 && harness.ends.count == 2)
    #expect(harness.job(0, 0).status == .cancelling && harness.batch.status == .running)
    harness.end(.signalled(15), 0, 0, receipt: receipt)
    #expect(harness.answer(to: call) == nil)
    #expect(harness.job(0, 0).status == .cancelled)
    harness.end(.exited(0), 0, 1, receipt: receipt)
    let ended = [0, 1].map { Reply.EndedAttempt(attempt: JobID(tier: 0, index: $0).attempt(1), receipt: receipt) }
    #expect(harness.answer(to: call) == .success(.cancelled(.init(batchID: "b", status: .cancelled, ended: ended))))
    #expect(harness.batch.status == .cancelled)
    #expect(harness.batch.tiers.map(\.status) == [.cancelled, .cancelled])
    #expect(harness.job(0, 0).pendingCount == 3)
    // Asked again with its key, it answers the same from the batch's state; without one nothing was ended.
    #expect(
      harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(3)), key: "k")
        == .success(.cancelled(.init(batchID: "b", status: .cancelled, ended: ended))))
    #expect(
      harness.ask(.cancel(batchID: "b", .batch, grace: .zero))
        == .success(.cancelled(.init(batchID: "b", status: .cancelled, ended: []))))
    // One that found nothing to end answers so again, whatever another cancel ended before it.
    for _ in 0..<2 {
      #expect(
        harness.ask(.cancel(batchID: "b", .batch, grace: .zero), key: "late")
          == .success(.cancelled(.init(batchID: "b", status: .cancelled, ended: []))))
    }
  }

  @Test("A batch that has not started is cancelled at once")
  func cancelsAtOnce() {
    for submit in [false, true] {
      var harness = Harness(cpus: 0)
      let specification = BatchSpecification(executor: .simulated, tiers: [tier(extractor(cpus: 0))])
      _ = harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(1)))
      harness.see(.unreachable(.simulated, message: "away"))
      if submit { _ = harness.ask(.submitBatch(batchID: "b")) }
      #expect(harness.batch.status == (submit ? .queued : .created))
      #expect(
        harness.ask(.cancel(batchID: "b", .batch, grace: .zero))
          == .success(.cancelled(.init(batchID: "b", status: .cancelled, ended: []))))
      #expect(harness.job().status == .cancelled)
    }
  }

  @Test("A second cancel joins the first; both are answered together")
  func joins() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .zero))
    let first = CallID(harness.callCount)
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .zero), key: "second")
    let second = CallID(harness.callCount)
    #expect(harness.ends.isEmpty)
    harness.end(.signalled(15), receipt: receipt)
    let answer = harness.answer(to: first)
    #expect(answer == harness.answer(to: second) && answer.isSuccess)
    #expect(harness.ask(.cancel(batchID: "b", .batch, grace: .zero), key: "second") == answer)
  }

  @Test("A second cancel with less grace shortens the first's; one with more changes nothing")
  func hastens() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(30)))
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(40)))
    #expect(harness.ends.isEmpty)
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(1)))
    #expect(harness.ends.count == 1)
    harness.end(.signalled(9), receipt: receipt)
    #expect(harness.batch.status == .cancelled)
  }

  @Test("What is not gone in time is named; the ending goes on, and the end counts when it comes")
  func endTimeout() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(5)))
    let call = CallID(harness.callCount)
    harness.tick(after: 64)
    #expect(harness.answer(to: call) == nil)
    harness.tick(after: 1)
    guard case .failure(.exhausted(.endTimeout, let message, .some)) = harness.answer(to: call) else {
      Issue.record("not answered")
      return
    }
    #expect(message.contains("t0-j0.1"))
    #expect(harness.job().status == .cancelling)
    harness.see(.lost(harness.attempt(), message: "gone"))
    #expect(harness.batch.status == .cancelled)
  }

  @Test("A cancelled job counts as neither succeeded nor failed, and its documents are not handed on")
  func oneJob() {
    var harness = Harness()
    harness.submit([tier(extractor("a", shards: 2)), tier(extractor())], documents: 4)
    harness.run(0, 0)
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 0)), grace: .zero))
    harness.end(.signalled(15), 0, 0, receipt: receipt)
    #expect(harness.job(0, 0).status == .cancelled)
    #expect(harness.batch.tiers[0].status == .running)
    harness.finish(0, 1)
    #expect(harness.batch.tiers[0].status == .completed)
    #expect(Array(harness.batch.tiers[1].handed) == [1, 3])
    harness.finish(1)
    #expect(harness.batch.status == .completed)
    #expect(harness.batch.progress() == ProgressCounts(completed: 2, failed: 0, pending: 2, processing: 0, total: 4))
  }

  @Test("A tier with a failed and a cancelled job is FAILED, one with only cancelled jobs CANCELLED")
  func mixedTiers() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b"))])
    harness.run(0, 0)
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 1)), grace: .zero))
    harness.end(.signalled(15), 0, 1, receipt: receipt)
    harness.end(.exited(1), 0, 0)
    #expect(harness.batch.status == .failed)

    harness = Harness()
    harness.submit([tier(extractor("a"))])
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 0)), grace: .zero))
    harness.see(.lost(harness.attempt(), message: "never launched"))
    #expect(harness.batch.tiers[0].status == .cancelled && harness.batch.status == .cancelled)
  }

  @Test("A cancelled tier ends the batch; later tiers stay PENDING; a tier to come is not entered")
  func tiers() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b")), tier(extractor())])
    harness.finish(0, 0)
    harness.run(0, 1)
    _ = harness.ask(.cancel(batchID: "b", .tier(0), grace: .zero))
    harness.end(.signalled(15), 0, 1, receipt: receipt)
    #expect(harness.job(0, 0).status == .succeeded)
    #expect(harness.batch.tiers.map(\.status) == [.cancelled, .pending])
    #expect(harness.batch.status == .cancelled)

    harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())])
    #expect(
      harness.ask(.cancel(batchID: "b", .tier(1), grace: .zero))
        == .success(.cancelled(.init(batchID: "b", status: .running, ended: []))))
    harness.finish(0)
    #expect(harness.batch.tiers.map(\.status) == [.completed, .cancelled])
    #expect(harness.batch.status == .cancelled)
  }

  @Test("A job or tier that does not exist is not found")
  func notFound() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    #expect(
      harness.ask(.cancel(batchID: "b", .tier(4), grace: .zero))
        == .failure(.notFound(resourceType: "tier", resourceID: "4")))
    #expect(
      harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 7)), grace: .zero))
        == .failure(.notFound(resourceType: "job", resourceID: "t0-j7")))
  }

  @Test("A job in its backoff is cancelled at once, and no attempt follows")
  func backoff() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    harness.see(.lost(harness.attempt(), message: "gone"))
    #expect(harness.job().status == .pending)
    #expect(harness.ask(.cancel(batchID: "b", .batch, grace: .zero)).isSuccess)
    #expect(harness.batch.status == .cancelled)
    harness.tick(after: 100)
    #expect(harness.launches.isEmpty)
  }

  @Test("A handle that comes after the intent to end goes to the executor with another end")
  func lateHandle() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .zero))
    let handle = ExecutorHandle(node: "n", reference: "r")
    harness.see(.taken(harness.attempt(), handle))
    #expect(harness.output.afterCommit.contains(.end(harness.attempt(), handle, grace: .zero, on: .simulated)))
  }

  @Test(
    "A cancel that comes again with its key, after what it cancelled was retried, ends nothing",
    arguments: [false, true])
  func repeatedAfterRetry(restarts: Bool) {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    let call = harness.nextCall()
    let cancel = Command(
      namespace: "default", idempotencyKey: "k", fingerprint: 7, actor: "tester",
      operation: .cancel(batchID: "b", .job(JobID(tier: 0, index: 0)), grace: .seconds(1)))
    harness.step(.command(call, cancel))
    if restarts { harness = harness.afterRestart() }
    harness.end(.signalled(15), receipt: EndReceipt(processes: 1, how: "SIGTERM"))
    let first = harness.answer(to: call)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(), .failed))
    #expect(harness.job().attempts.count == 2)
    harness.run()
    let again = harness.nextCall()
    harness.step(.command(again, cancel))
    #expect(harness.ends.isEmpty && harness.job().status == .running)
    guard case .success(.cancelled(let cancelled)) = harness.answer(to: again) else {
      Issue.record("\(String(describing: harness.answer(to: again)))")
      return
    }
    if !restarts { #expect(harness.answer(to: again) == first && cancelled.ended.count == 1) }
  }
}
