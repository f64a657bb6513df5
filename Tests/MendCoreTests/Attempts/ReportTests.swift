import Testing

@testable import MendCore

@Suite("Reports that come again")
struct ReportTests {
  private func report(_ documents: [String], id: String) -> WorkerRequest.Report {
    WorkerRequest.Report(
      completed: documents, stageTimings: [.init(name: "writing", duration: .seconds(5))],
      written: [.init(collectionID: "text", count: 3)], id: id)
  }

  @Test("One with an id counts once and is answered the same, over a restart too; without, where a result is new")
  func once() {
    for id in ["", "r-1"] {
      var harness = Harness()
      harness.submit([tier(extractor())], documents: 4)
      harness.run()
      let claimed = harness.claim(3)
      let first = harness.say(harness.token(), .report(report(claimed, id: id)))
      for round in 0..<3 {
        if round == 1 { harness = harness.afterRestart() }
        let again = harness.say(harness.token(), .report(report(claimed, id: id)))
        #expect(id.isEmpty || again == first)
      }
      #expect(first == .success(.reported(.init(accepted: 3, repeated: 0, stop: false))))
      #expect(harness.job().written == 3)
      #expect(harness.job().stages == [.init(name: "writing", duration: .seconds(5))])
      #expect(harness.job().repeatedWork == (id.isEmpty ? 9 : 0), "a repeated report is no repeated work")
      // Another one with the same document is.
      _ = harness.say(harness.token(), .report(report(["d0"], id: id.isEmpty ? "" : "r-2")))
      #expect(harness.job().repeatedWork == (id.isEmpty ? 10 : 1))
      #expect(harness.job().written == (id.isEmpty ? 3 : 6))
      harness.report(harness.claim(1))
      harness.end(.exited(0))
      #expect(harness.job().attempts[0].reports.isEmpty)
      #expect(harness.batch.durable == Batch.folded(harness.journal[harness.key] ?? [])?.durable)
    }
  }

  @Test("Another report with an id that was used is refused as a whole, over a restart too")
  func anotherWithTheSameID() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 4)
    harness.run()
    _ = harness.claim(2)
    let first = WorkerRequest.Report(
      written: [.init(collectionID: "text", count: 3)], id: "r-1", fingerprint: 7)
    let other = WorkerRequest.Report(completed: ["d1"], id: "r-1", fingerprint: 8)
    let answer = harness.say(harness.token(), .report(first))
    for round in 0..<2 {
      if round == 1 { harness = harness.afterRestart() }
      guard case .failure(.aborted(let why, _)) = harness.say(harness.token(), .report(other)) else {
        Issue.record("it was taken")
        return
      }
      #expect(why.contains("r-1") && harness.say(harness.token(), .report(first)) == answer)
      #expect(harness.job().written == 3 && harness.job().committed.isEmpty)
    }
    // Of what an earlier version took nothing is known but the id.
    var old = first
    old.fingerprint = 0
    #expect(harness.say(harness.token(), .report(old)) == answer)
  }

  @Test("What an entrypoint says beside no results counts, each time without an id and once with one")
  func withoutResults() {
    var harness = Harness()
    harness.submit([tier(extractor(opaque: true))])
    harness.run()
    for id in ["", "", "r-1", "r-1", "r-2"] { _ = harness.say(harness.token(), .report(report([], id: id))) }
    #expect(harness.job().written == 12)
  }

  @Test("A beat with an id leaves nothing in the journal")
  func beat() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    let before = harness.journal[harness.key]?.count
    for beat in 0..<3 { _ = harness.say(harness.token(), .report(.init(id: "r-\(beat)"))) }
    #expect(harness.journal[harness.key]?.count == before)
  }

  @Test("An id, and a count, have their bound")
  func bounds() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    func refused(_ report: WorkerRequest.Report) -> String? {
      guard case .failure(.invalid(let field, _)) = harness.say(harness.token(), .report(report)) else { return nil }
      return field
    }
    #expect(refused(.init(id: String(repeating: "i", count: 65))) == "report_id")
    for count in [-1, 1 << 53 + 1, Int.max] {
      #expect(refused(.init(written: [.init(collectionID: "text", count: count)])) == "written[0].document_count")
    }
  }

  @Test("Counts of an old journal saturate, and stop no fold")
  func saturated() throws {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    var batch = harness.batch
    let job = JobID(tier: 0, index: 0)
    for fact in [
      Fact.collectionWritten(.init(job, collectionID: "text", count: .max)),
      .collectionWritten(.init(job, collectionID: "text", count: 5)),
      .workRepeated(.init(job.attempt(1), count: .max)), .workRepeated(.init(job.attempt(1), count: 1)),
      .stageSpent(.init(job.attempt(1), name: "s", .milliseconds(Int64.max))),
      .stageSpent(.init(job.attempt(1), name: "s", .milliseconds(Int64.max))),
    ] {
      try batch.apply(
        Record(batch: batch.key, sequence: batch.sequence + 1, at: harness.now, cause: .worker, fact: fact))
    }
    #expect(batch.tiers[0].jobs[0].written == .max && batch.tiers[0].jobs[0].repeatedWork == .max)
    #expect(batch.tiers[0].jobs[0].stages[0].duration == .milliseconds(1 << 53))
    _ = batch.diagnosis(at: harness.now, capacity: harness.core.capacity, limits: harness.core.limits)
  }

  @Test("Documents that fail alike share one error in the fact and in memory")
  func alike() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 50_000)
    harness.run()
    for _ in 0..<5 { _ = harness.claim(10_000) }
    harness.end(.exited(1))
    let failed = (harness.journal[harness.key] ?? []).compactMap { record in
      if case .documentsFailed(let failed) = record.fact { failed.groups } else { nil }
    }
    #expect(failed.count == 1 && failed[0].count == 1 && failed[0][0].documents.count == 50_000)
    #expect(harness.job().errors.count == 50_000 && harness.job().errors[49_999]?.code == "exit_code")
    let summary = harness.batch.errorSummary()
    #expect(summary.map(\.count) == [50_000] && summary[0].affected == Array(0..<10))
  }
}
