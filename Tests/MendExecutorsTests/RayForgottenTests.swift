import MendCore
import Testing

@testable import MendExecutors

/// What the machine does about records of batches that are forgotten, on a clock that the test moves.
@Suite struct RayForgottenTests {
  let batch = BatchKey(namespace: "a", batchID: "b")
  let start = ContinuousClock().now
  let wall = Instant(milliseconds: 2_000_000_000_000)

  func machine(change: (inout RayAttempts.Settings) -> Void = { _ in }) -> RayAttempts {
    var settings = RayAttempts.Settings()
    change(&settings)
    return RayAttempts(settings: settings, installation: "here", at: start)
  }

  func job(
    _ status: RayJob.Status, _ number: Int = 1, batch: String = "b", installation: String = "here",
    type: String = "SUBMISSION"
  ) -> RayJob {
    let key = AttemptKey(
      batch: BatchKey(namespace: "a", batchID: batch), job: JobID(tier: 0, index: 0), number: number)
    var job = RayJob(submissionID: RaySubmissionID.make(key), status: status)
    job.metadata = RayMetadata.make(key, token: "t", installation: installation)
    job.type = type
    return job
  }

  /// Calls that delete, when the next list has these jobs.
  func deletions(_ machine: inout RayAttempts, _ jobs: [RayJob], at now: RayAttempts.Moment) -> [String] {
    _ = machine.take(.listed(.success(jobs), took: .zero), at: now, wallClock: wall)
    return asked(&machine, at: now)
  }

  func asked(_ machine: inout RayAttempts, at now: RayAttempts.Moment) -> [String] {
    machine.next(at: now, underWay: 0).calls.compactMap { if case .delete(let id) = $0 { id } else { nil } }.sorted()
  }

  @Test func `ended jobs of a forgotten batch are deleted, a few at once, and nothing else is`() {
    var machine = machine()
    let jobs = [
      job(.succeeded, 1), job(.failed, 2), job(.stopped, 3), job(.running, 4), job(.pending, 5),
      job(.succeeded, 6, batch: "c"), job(.succeeded, 7, installation: "there"), job(.succeeded, 8, type: "DRIVER"),
      RayJob(submissionID: "mend_a_b_t0-j0_9", status: .succeeded),
    ]
    #expect(deletions(&machine, jobs, at: start) == [])
    machine.forget(batch, at: start)
    var deleted = deletions(&machine, jobs, at: start)
    #expect(deleted.count == machine.settings.deletionsAtOnce)
    #expect(asked(&machine, at: start) == [])
    for id in deleted {
      #expect(machine.take(.deleted(id: id, .success(true)), at: start, wallClock: wall) == [])
    }
    deleted += asked(&machine, at: start)
    #expect(deleted.sorted() == ["mend_a_b_t0-j0_1", "mend_a_b_t0-j0_2", "mend_a_b_t0-j0_3"])
    // Found under another name by what it says of itself.
    var other = self.machine()
    other.forget(batch, at: start)
    var byHand = job(.stopped)
    byHand.submissionID = "by-hand"
    #expect(deletions(&other, [byHand], at: start) == ["by-hand"])
  }

  @Test func `a batch is seen to until a list that was asked for later has none of its jobs`() {
    var machine = machine()
    machine.forget(batch, at: start + .seconds(1))
    #expect(machine.takeForgotten() == [batch])
    #expect(machine.takeForgotten() == nil)
    // It was asked for before.
    #expect(deletions(&machine, [], at: start + .seconds(2)) == [])
    #expect(machine.takeForgotten() == nil)
    #expect(machine.next(at: start + .seconds(30), underWay: 0).calls.contains(.list))
    #expect(deletions(&machine, [job(.running)], at: start + .seconds(31)) == [])
    #expect(machine.takeForgotten() == nil)
    #expect(machine.next(at: start + .seconds(60), underWay: 0).calls.contains(.list))
    #expect(deletions(&machine, [job(.succeeded)], at: start + .seconds(61)).count == 1)
    _ = machine.next(at: start + .seconds(90), underWay: 0)
    _ = deletions(&machine, [], at: start + .seconds(91))
    #expect(machine.takeForgotten() == [])
  }

  @Test func `what Ray refuses to delete is tried again with later lists, then left, and said once`() {
    var machine = machine { $0.deletions = 3 }
    machine.forget(batch, at: start)
    let error = RayError.refused(status: 500, "no agent")
    var remarks: [RayAttempts.Remark] = []
    var tries = 0
    for round in 0..<6 {
      for id in deletions(&machine, [job(.succeeded)], at: start + .seconds(round)) {
        tries += 1
        #expect(machine.take(.deleted(id: id, .failure(error)), at: start, wallClock: wall) == [])
        #expect(asked(&machine, at: start + .seconds(round)) == [])
      }
      remarks += machine.takeRemarks()
    }
    #expect(tries == 3)
    #expect(remarks == [.recordStays(id: "mend_a_b_t0-j0_1", error)])
    #expect(!machine.reach.isAway)
  }

  @Test func `an answer that is lost waits for the next list and counts for nothing`() {
    var machine = machine { $0.deletions = 1 }
    machine.forget(batch, at: start)
    let jobs = (1...10).map { job(.succeeded, $0) }
    for round in 0..<5 {
      let ids = deletions(&machine, jobs, at: start + .seconds(round))
      #expect(ids.count == machine.settings.deletionsAtOnce)
      for id in ids {
        _ = machine.take(.deleted(id: id, .failure(.unknown("nothing came"))), at: start, wallClock: wall)
      }
      #expect(asked(&machine, at: start + .seconds(round)) == [])
    }
    #expect(machine.takeRemarks() == [])
  }

  @Test func `a batch of the same name that runs now keeps its records`() {
    var machine = machine()
    machine.forget(batch, at: start)
    let key = AttemptKey(batch: batch, job: JobID(tier: 0, index: 0), number: 1)
    machine.adopt(key, id: RaySubmissionID.make(key), fence: "", at: start)
    #expect(deletions(&machine, [job(.succeeded, 2)], at: start) == [])
  }

  @Test func `only so many forgotten batches are seen to at once, and what is beyond is said`() {
    var machine = machine { $0.forgottenBatches = 2 }
    for name in ["b", "c", "d", "e"] {
      machine.forget(BatchKey(namespace: "a", batchID: name), at: start)
    }
    #expect(machine.takeForgotten()?.map(\.batchID) == ["b", "c"])
    #expect(machine.takeRemarks() == [.forgottenInVain(BatchKey(namespace: "a", batchID: "d"))])
  }
}
