import Testing

@testable import MendCore

@Suite("What must hold of a batch, broken on purpose: it is let go of, and nobody else")
struct InvariantTests {
  private let job = JobID(tier: 0, index: 0)

  /// `b` and `c`, each with a running attempt.
  private func two(_ documents: Int = 3) -> Harness {
    var harness = Harness()
    for id in ["c", "b"] {
      harness.submit([tier(extractor())], documents: documents, id: id)
      harness.run(batch: id)
    }
    return harness
  }

  /// What the core finds when something is decided that it never decides.
  private func fault(
    _ harness: Harness, _ decide: (inout Core, BatchKey) -> Void
  ) -> RecordFault.Kind? {
    var harness = harness
    harness.core.context.output = Output()
    decide(&harness.core, harness.key)
    let faults = harness.core.context.output.faults
    guard let fault = faults.first else { return nil }
    #expect(faults.count == 1 && fault.batch == harness.key)
    #expect(harness.core.batches[harness.key] == nil && harness.core.batches.count == 1)
    return fault.kind
  }

  private func fault(of fact: Fact, after harness: Harness) -> RecordFault.Kind? {
    fault(harness) { core, key in core.record(fact, on: key) }
  }

  private func end(_ harness: Harness) -> Fact {
    .attemptEnded(.init(job.attempt(1), AttemptEnd(verdict: .succeeded, at: harness.now)))
  }

  @Test("a document is in one part of its job's ledger, and is committed once")
  func ledger() {
    var harness = two()
    _ = harness.claim(2)
    harness.report(["d0"])
    let error = DocumentError(code: "c", message: "m", attempt: 1, at: harness.now)
    #expect(
      fault(of: .documentsCommitted(.init(job.attempt(1), DocumentSet([0]))), after: harness)
        == .invariant(.committedTwice(job)))
    #expect(fault(of: .documentsCommitted(.init(job.attempt(1), DocumentSet([1, 2]))), after: harness) == nil)
    _ = harness.claim(1)
    #expect(
      fault(of: .documentsFailed(.init(job.attempt(1), [.init(position: 0, error: error)])), after: harness)
        == .invariant(.jobDocuments(job)))
    #expect(
      fault(of: .documentsFailed(.init(job.attempt(1), [.init(position: 1, error: error)])), after: harness) == nil)
  }

  @Test("counts of a tier and of the batch add up")
  func counts() {
    var harness = two()
    _ = harness.claim(3)
    let committed = Fact.documentsCommitted(.init(job.attempt(1), DocumentSet([0])))
    #expect(
      fault(harness) { core, key in
        core.batches[key]?.tiers[0].handed = DocumentSet()
        core.record(committed, on: key)
      } == .invariant(.tierDocuments(0)))
    #expect(
      fault(harness) { core, key in
        core.batches[key]?.failedDocuments = DocumentSet([0, 1, 2])
        core.record(committed, on: key)
      } == .invariant(.batchDocuments))
    // What an older version left is not this fact's doing.
    harness.core.batches[harness.key]?.failedDocuments = DocumentSet([0, 1, 2, 3])
    #expect(fault(of: committed, after: harness) == nil)
  }

  @Test("an attempt that ended holds nothing, and ends once")
  func endedAttempt() {
    var harness = two()
    #expect(fault(of: end(harness), after: harness) == nil)
    _ = harness.claim(2)
    #expect(fault(of: end(harness), after: harness) == .invariant(.inProcessByNobody(job)))
    harness.report(["d0", "d1"])
    _ = harness.claim(1)
    harness.report(["d2"])
    #expect(
      fault(harness) { core, key in
        core.batches[key]?.held = ResourceUse()
        core.record(end(harness), on: key)
      } == .invariant(.held))
    #expect(
      fault(harness) { core, key in
        core.index.lanes[.simulated]?.use = ResourceUse()
        core.record(end(harness), on: key)
      } == .invariant(.held))
    #expect(
      fault(harness) { core, key in
        core.record(end(harness), on: key)
        core.record(end(harness), on: key)
      } == .invariant(.held))
  }

  @Test("what is over has no live attempt, and a job has one at the most")
  func liveAttempts() {
    let harness = two()
    #expect(
      fault(of: .jobStatusChanged(.init(job, .succeeded, failure: nil, reason: "")), after: harness)
        == .invariant(.jobOverWithAttempt(job)))
    #expect(
      fault(of: .batchStatusChanged(.init(.failed, reason: "")), after: harness) == .invariant(.batchOverWithAttempt))
    let second = Fact.attemptIntended(.init(job.attempt(2), token: "t", harness.job().attempts[0].parameters))
    #expect(fault(of: second, after: harness) == .invariant(.secondLiveAttempt(job)))
  }

  @Test("nothing is launched that was not intended")
  func launch() {
    let harness = two()
    let parameters = harness.job().attempts[0].parameters
    let stranger = AttemptKey(batch: harness.key, job: job, number: 2)
    let launch = Launch(token: "t", parameters: parameters, timers: Timers())
    #expect(
      fault(harness) { core, _ in core.perform(.launch(stranger, launch)) }
        == .invariant(.launchWithoutIntent(job, 2)))
    var core = harness.core
    core.context.output = Output()
    core.perform(.launch(stranger, launch))
    #expect(core.context.output.afterCommit.isEmpty)
  }

  @Test("the generation never falls")
  func generation() {
    var batch = two().batch
    let fact = Fact.staleReport(job.attempt(1))
    let before = batch.before(fact)
    #expect(batch.broken(by: fact, since: before) == nil)
    batch.generation -= 1
    #expect(batch.broken(by: fact, since: before) == .generation)
  }

  @Test("nothing of such a step is written or done; the worker is told to ask again, and the other batch goes on")
  func step() {
    var harness = two()
    _ = harness.claim(3)
    harness.core.batches[harness.key]?.tiers[0].handed = DocumentSet()
    let answer = harness.report(["d0"])
    #expect(harness.output.faults.map(\.kind) == [.invariant(.tierDocuments(0))])
    #expect(
      harness.output.faults.first?.description.hasSuffix(
        "cannot be: tier 0 has more documents done and failed than it was handed") == true)
    #expect(harness.output.writes.isEmpty)
    guard case .failure(.unavailable) = answer else {
      Issue.record("a worker is told to ask again, not \(String(describing: answer))")
      return
    }
    harness.finish(batch: "c")
    #expect(harness.core.batches[BatchKey(namespace: "default", batchID: "c")]?.status == .completed)
  }

  @Test("a job that the batch does not have is nothing, not the end of the server")
  func unknownJob() {
    var harness = two()
    let tiers = harness.batch.tiers
    #expect(tiers[job]?.id == job)
    for stranger in [JobID(tier: 0, index: 1), JobID(tier: 1, index: 0), JobID(tier: -1, index: -1)] {
      #expect(tiers[stranger] == nil)
      let attempt = AttemptKey(batch: harness.key, job: stranger, number: 1)
      // As an index would say that does not fit its batch.
      harness.core.index.live.insert(attempt)
      for observation in [
        Observation.taken(attempt, ExecutorHandle(node: "n", reference: "r")), .started(attempt),
        .ended(attempt, ExitRecord(termination: .exited(0), at: harness.now), nil), .lost(attempt, message: "m"),
        .duplicate(attempt, reference: "r"), .hidden(attempt, message: "m"), .delayed(attempt, message: "m"),
        .launchFailed(attempt, .oom, message: "m"),
      ] {
        harness.see(observation)
        #expect(harness.output.faults.isEmpty && harness.output.writes.isEmpty)
      }
      harness.core.index.live.remove(attempt)
    }
  }
}
