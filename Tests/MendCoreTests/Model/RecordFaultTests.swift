import Testing

@testable import MendCore

@Suite("A record that cannot be its batch's next one is a fault, and costs that batch alone")
struct RecordFaultTests {
  private let job = JobID(tier: 0, index: 0)

  private func running() -> Harness {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 3)
    harness.run()
    return harness
  }

  private func fault(of fact: Fact, after harness: Harness, sequence: UInt64? = nil) -> RecordFault.Kind? {
    var batch = harness.batch
    let before = batch
    let record = Record(
      batch: batch.key, sequence: sequence ?? batch.sequence + 1, at: harness.now, cause: .worker, fact: fact)
    do throws(RecordFault) {
      try batch.apply(record)
      return nil
    } catch {
      #expect(batch == before, "a fault changes nothing")
      #expect(error.sequence == record.sequence && error.batch == before.key)
      return error.kind
    }
  }

  @Test("an unknown tier, job, attempt or document, a gap and a second creation are told apart")
  func kinds() {
    let harness = running()
    let other = JobID(tier: 3, index: 0)
    let beyond = DocumentSet([0, 3])
    let error = DocumentError(code: "c", message: "m", attempt: 1, at: harness.now)
    let cases: [(Fact, RecordFault.Kind)] = [
      (.batchCreated(harness.batch.specification), .creation),
      (.tierStarted(.init(tier: 3, handed: DocumentSet([0]))), .tier(3)),
      (.tierStarted(.init(tier: 0, handed: beyond)), .document(3)),
      (.tierStatusChanged(.init(tier: -1, .failed, reason: "")), .tier(-1)),
      (.jobStatusChanged(.init(other, .running, failure: nil, reason: "")), .job(other)),
      (.nextAttemptScheduled(.init(other, at: harness.now)), .job(other)),
      (
        .retried(
          .init(tier: 0, jobs: [.init(job: other, overrides: Job.Overrides(), reopened: DocumentSet())], actor: "a")),
        .job(other)
      ),
      (
        .retried(.init(tier: 0, jobs: [.init(job: job, overrides: Job.Overrides(), reopened: beyond)], actor: "a")),
        .document(3)
      ),
      (
        .attemptIntended(.init(job.attempt(3), token: "t", harness.job().attempts[0].parameters)),
        .attemptNumber(job.attempt(3), expected: 2)
      ),
      (.attemptStarted(job.attempt(2)), .attempt(job.attempt(2))),
      (.attemptStarted(job.attempt(0)), .attempt(job.attempt(0))),
      (.attemptEnding(.init(other.attempt(1), .cancelled)), .job(other)),
      (.documentsClaimed(.init(job.attempt(2), DocumentSet([0]))), .attempt(job.attempt(2))),
      (.documentsClaimed(.init(job.attempt(1), beyond)), .document(3)),
      (.documentsCommitted(.init(job.attempt(1), beyond)), .document(3)),
      (.documentsReleased(.init(job.attempt(0), beyond)), .document(3)),
      (.documentsFailed(.init(job.attempt(1), [.init(position: 3, error: error)])), .document(3)),
      (.workRepeated(.init(other.attempt(1), count: 1)), .job(other)),
      (.stageEntered(.init(job.attempt(9), name: "s")), .attempt(job.attempt(9))),
      (.stageSpent(.init(other.attempt(1), name: "s", .seconds(1))), .job(other)),
      (.collectionWritten(.init(other, collectionID: "c", count: 1)), .job(other)),
      (.staleReport(job.attempt(7)), .attempt(job.attempt(7))),
    ]
    for (fact, kind) in cases { #expect(fault(of: fact, after: harness) == kind, "\(fact)") }
    let next = harness.batch.sequence + 1
    #expect(fault(of: .staleReport(job.attempt(1)), after: harness, sequence: next + 1) == .sequence(expected: next))
    #expect(fault(of: .staleReport(job.attempt(1)), after: harness) == nil)
    // What the core does by itself is no attempt's.
    #expect(fault(of: .documentsReleased(.init(job.attempt(0), DocumentSet([0]))), after: harness) == nil)
  }

  @Test("a journal that does not begin with its batch's creation is a fault, an empty one is nothing")
  func beginning() throws {
    let harness = running()
    let records = try #require(harness.journal[harness.key])
    #expect(throws: RecordFault.self) { try Batch.folding(Array(records.dropFirst())) }
    #expect(throws: RecordFault.self) { try Batch.folding([records[0], records[2]]) }
    #expect(try Batch.folding([]) == nil)
    #expect(try Batch.folding(records)?.sequence == UInt64(records.count))
  }

  @Test(
    "what cannot be so ends its batch's processing: nothing of the step is written or done, the other batch goes on")
  func letGo() throws {
    var harness = running()
    harness.submit([tier(extractor())], documents: 2, id: "c")
    harness.run(batch: "c")
    let token = harness.token()
    // As a fault of this program would leave it: documents assigned that are not there.
    harness.core.batches[harness.key]?.documents = DocumentTable()
    let used = harness.core.index.lanes[.simulated]?.use
    let answer = harness.say(token, .claim(maximum: 5))
    #expect(harness.output.faults.map(\.kind) == [.document(2)])
    #expect(harness.output.faults.map(\.batch) == [harness.key])
    #expect(harness.output.writes.isEmpty)
    guard case .failure(.unavailable) = answer else {
      Issue.record("a worker is told to ask again, not \(String(describing: answer))")
      return
    }
    #expect(harness.output.afterCommit.filter { if case .changed = $0 { true } else { false } }.isEmpty)
    #expect(harness.core.batches[harness.key] == nil)
    #expect(harness.core.index.live.allSatisfy { $0.batch.batchID == "c" })
    #expect(harness.core.batch(ofToken: token) == nil)
    // Its attempt runs on, so its room stays taken.
    #expect(harness.core.index.lanes[.simulated]?.use == used)
    #expect(harness.claim(5, batch: "c") == ["d0", "d1"])
    harness.report(["d0", "d1"], batch: "c")
    harness.end(.exited(0), batch: "c")
    #expect(harness.core.batches[BatchKey(namespace: "default", batchID: "c")]?.status == .completed)
    // When it has ended others have it, once.
    let left = AttemptKey(batch: harness.key, job: job, number: 1)
    harness.submit([tier(extractor(cpus: 4))], documents: 1, id: "d")
    #expect(harness.launches.isEmpty)
    for _ in 0..<2 { harness.see(.ended(left, ExitRecord(termination: .exited(0), at: harness.now), nil)) }
    #expect(harness.core.index.lanes[.simulated]?.use.cpus == 4)
    #expect(harness.core.batches[BatchKey(namespace: "default", batchID: "d")]?.status == .running)
  }

  @Test("who waits for a cancel of such a batch is told")
  func waitingCancel() {
    var harness = running()
    let token = harness.token()
    let cancel = harness.nextCall()
    harness.step(
      .command(cancel, Command(namespace: "default", operation: .cancel(batchID: "b", .batch, grace: .seconds(5)))))
    #expect(harness.answer(to: cancel) == nil)
    let held = harness.batch.tiers[0].jobs[0].attempts[0].parameters
    harness.core.batches[harness.key]?.tiers[0].jobs[0].attempts = []
    harness.core.batches[harness.key]?.held = ResourceUse()
    harness.core.batches[harness.key]?.held.add(held.resources)
    _ = harness.say(token, .report(WorkerRequest.Report(stage: "s")))
    harness.core.record(.staleReport(job.attempt(9)), on: harness.key)
    #expect(harness.core.cancels.isEmpty)
    #expect(harness.core.batches[harness.key] == nil)
  }

  @Test("a suspended machine's attempts are held to their windows anew")
  func suspension() {
    var harness = Harness()
    var timers = Timers()
    timers.heartbeat = .seconds(4)
    timers.progress = .seconds(30)
    timers.run = .seconds(40)
    harness.submit([tier(extractor(timers: timers))], documents: 3, timeout: .seconds(42))
    harness.run()
    _ = harness.claim(1)
    harness.advance(45)
    harness.step(.resumed(after: .seconds(44)))
    harness.step(.tick)
    harness.tick(after: 3)
    #expect(harness.job().attempts[0].suspectedSince == nil)
    #expect(harness.job().attempts[0].state == .running && harness.batch.status == .running)
    // From then on as ever.
    harness.tick(after: 2)
    harness.tick(after: 3)
    #expect(harness.batch.health(at: harness.now, capacity: harness.core.capacity, limits: Limits()).health == .stuck)
  }
}
