import MendCore
import Testing

struct FactTextTests {
  private let job = JobID(tier: 0, index: 1)
  private let now = Instant(milliseconds: 1_000_000)

  private func text(_ fact: Fact) -> FactText {
    FactText(Record(batch: BatchKey(namespace: "n", batchID: "b"), sequence: 7, at: now, cause: .worker, fact: fact))
  }

  @Test("A fact is one line, with the job or attempt that it is about in front")
  func lines() {
    let end = AttemptEnd(
      verdict: .failed(.oom, .high), at: now, evidence: [Evidence("it held too much", by: .supervisor, at: now)])
    let lines: [(Fact, String)] = [
      (.batchStatusChanged(.init(.paused, reason: "")), "batch paused"),
      (.tierStatusChanged(.init(tier: 2, .failed, reason: "a job failed")), "tier 2 failed: a job failed"),
      (.nextAttemptScheduled(.init(job, at: now + .seconds(90))), "t0-j1: the next attempt may start in 90 s"),
      (.attemptStarted(job.attempt(3)), "t0-j1.3: running"),
      (.attemptEnded(.init(job.attempt(3), end)), "t0-j1.3: failed, oom (confidence high): it held too much"),
    ]
    for (fact, line) in lines { #expect(text(fact).line == line && text(fact).documents == nil) }
  }

  @Test("A fact about documents says how many")
  func documents() {
    let claimed = text(.documentsClaimed(.init(job.attempt(3), DocumentSet([4, 5, 9]))))
    #expect(claimed.line == "t0-j1.3: 3 documents claimed" && claimed.documents == 3)
    let leftOut = text(.documentsLeftOut(.init(job, DocumentSet([4]))))
    #expect(leftOut.line == "t0-j1: 1 document goes on without it" && leftOut.documents == 1)
  }
}
