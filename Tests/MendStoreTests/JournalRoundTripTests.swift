import MendAPI
import MendCore
import MendProtobuf
import MendRuntime
import Testing

@testable import MendStore

/// What is written is what is read, for every case there is.
struct JournalRoundTripTests {
  private let key = BatchKey(namespace: "n", batchID: "b")

  private func through(_ fact: Fact) throws -> Fact {
    let record = Record(batch: key, sequence: 42, at: Samples.at, cause: .caller, fact: fact)
    let back = try JournalRecord(serialized: JournalRecord(record).serialized()).record(of: key)
    #expect(back.sequence == 42 && back.at == Samples.at && back.cause == .caller && back.batch == key)
    return back.fact
  }

  @Test("every fact comes back as it was", arguments: Samples.facts)
  func facts(_ fact: Fact) throws {
    #expect(try through(fact) == fact)
  }

  @Test("numbers beyond what the core takes are brought within it, and sets that no batch has are refused")
  func beyond() throws {
    #expect(
      try through(.collectionWritten(.init(Samples.job, collectionID: "c", count: .max)))
        == .collectionWritten(.init(Samples.job, collectionID: "c", count: ValueLimit.count)))
    #expect(
      try through(.stageSpent(.init(Samples.job.attempt(1), name: "s", .milliseconds(Int64.max))))
        == .stageSpent(.init(Samples.job.attempt(1), name: "s", .seconds(ValueLimit.spanSeconds))))
    #expect(
      try through(.nextAttemptScheduled(.init(Samples.job, at: .distantFuture)))
        == .nextAttemptScheduled(.init(Samples.job, at: Instant(milliseconds: ValueLimit.milliseconds.upperBound))))
    var record = ExitRecord(termination: .exited(1), at: Samples.at, peakMemoryBytes: .max)
    record.cpuSeconds = .nan
    let end = AttemptEnd(verdict: .succeeded, at: Samples.at, exit: record, receipt: nil, evidence: [])
    guard case .attemptEnded(let ended) = try through(.attemptEnded(.init(Samples.job.attempt(1), end))) else {
      Issue.record("another fact")
      return
    }
    #expect(ended.end.exit?.peakMemoryBytes == ValueLimit.memoryBytes && ended.end.exit?.cpuSeconds == 0)
    let set = DocumentSet(ranges: [2_000_000..<2_000_001])
    #expect(throws: JournalFault.self) { try through(.documentsCommitted(.init(Samples.job.attempt(1), set))) }
  }

  @Test("every reply comes back as it was", arguments: Samples.replies)
  func replies(_ reply: MendCore.Reply) throws {
    #expect(try JournalReply(serialized: JournalReply(reply).serialized()).decoded() == reply)
  }

  @Test("every reason for an end comes back", arguments: Samples.endReasons)
  func endReasons(_ reason: EndReason) throws {
    let fact = Fact.attemptEnding(.init(Samples.job.attempt(1), reason))
    #expect(try through(fact) == fact)
  }

  @Test("every kind of end comes back", arguments: Samples.ends)
  func ends(_ end: AttemptEnd) throws {
    let fact = Fact.attemptEnded(.init(Samples.job.attempt(1), end))
    #expect(try through(fact) == fact)
  }

  @Test("every state, cause and executor has a number of its own")
  func enums() throws {
    func check<Value: Journaled>(_ type: Value.Type) throws {
      for value in Value.allCases {
        #expect(value.wire != Value.Wire())
        #expect(try Value(value.wire) == value)
      }
    }
    try check(MendCore.BatchStatus.self)
    try check(MendCore.TierStatus.self)
    try check(MendCore.JobStatus.self)
    try check(MendCore.Health.self)
    try check(MendCore.FailureCategory.self)
    try check(MendCore.FailureCause.self)
    try check(MendCore.Confidence.self)
    try check(MendCore.Risk.self)
    try check(MendCore.ExecutorKind.self)
    try check(MendCore.HealAction.self)
    try check(MendCore.RetryRule.Action.self)
  }

  @Test("a listing comes back as it was")
  func listing() throws {
    var listing = Samples.listing("b")
    for completedAt in [listing.completedAt, nil] {
      listing.completedAt = completedAt
      let message = try JournalListing(serialized: JournalListing(listing, writtenBy: "1").serialized())
      #expect(try message.listing(of: listing.key) == listing)
    }
  }

  @Test("a million neighbouring documents take a handful of bytes")
  func packedSets() {
    #expect(JournalDocumentSet(DocumentSet(all: 1_000_000)).serialized().count < 10)
  }

  @Test("a fact of a later version is refused, not skipped")
  func unknownFact() throws {
    // Field 200, a message: no fact of this version.
    let bytes: [UInt8] = [8, 1, 0xC2, 0x0C, 0]
    let record = try JournalRecord(serialized: bytes)
    #expect(throws: JournalFault("an unknown fact")) { try record.record(of: key) }
  }

  @Test("a state of a later version is refused, not guessed")
  func unknownState() throws {
    var changed = JournalBatchStatusChanged()
    changed.status = MendAPI.BatchStatus(rawValue: 99)
    var record = JournalRecord()
    record.fact = .batchStatusChanged(changed)
    #expect(throws: JournalFault("no value 99 of mend.v1.BatchStatus")) { try record.record(of: key) }
  }

  @Test("every cause of a record comes back, by the word that journals have always had")
  func causes() throws {
    let words = ["caller", "worker", "executor", "clock", "scheduler", "recovery", "diagnosis", "notifier"]
    #expect(Record.Cause.allCases.map(\.rawValue) == words)
    for cause in Record.Cause.allCases {
      let record = Record(
        batch: key, sequence: 1, at: Samples.at, cause: cause, fact: .batchStatusChanged(.init(.queued, reason: "")))
      let written = JournalRecord(record)
      #expect(written.cause == cause.rawValue)
      #expect(try written.record(of: key) == record)
    }
  }

  @Test("a record whose cause this version does not know is refused, and one without any", arguments: ["moon", ""])
  func unknownCause(_ word: String) throws {
    var record = JournalRecord(
      Record(
        batch: key, sequence: 1, at: Samples.at, cause: .clock, fact: .batchStatusChanged(.init(.queued, reason: ""))))
    record.cause = word
    #expect(throws: JournalFault("no cause \"\(word)\"")) { try record.record(of: key) }
  }

  @Test("a damaged document set is refused", arguments: [[UInt32(1)], [0, UInt32.max], [UInt32.max, 1]])
  func damagedSet(_ runs: [UInt32]) throws {
    var set = JournalDocumentSet()
    set.runs = runs
    #expect(throws: JournalFault.self) { try set.documents() }
  }
}
