import JournalSchema
import MendJournal
import MendProtobuf
import Testing

@testable import MendCore

/// A fact is as large as what it says, however many documents it is about; and what earlier versions wrote still folds.
struct FactSizeTests {
  private static let documents = 2_000_000
  private static let error = DocumentError(
    code: "oom", message: String(repeating: "out of memory ", count: 70), attempt: 1, at: Samples.at,
    causedByAttempt: true)

  /// Every fact that names documents by their place, about all of them and about every second one: the longest there is.
  private static let facts: [Fact] = [
    DocumentSet(all: documents), DocumentSet(stride(from: 0, to: documents, by: 2)),
  ].flatMap { set -> [Fact] in
    [
      .tierStarted(.init(tier: 0, handed: set)), .documentsClaimed(.init(Samples.job.attempt(1), set, id: "c")),
      .documentsCommitted(.init(Samples.job.attempt(1), set)), .documentsReleased(.init(Samples.job.attempt(1), set)),
      .documentsFailed(.init(Samples.job.attempt(1), [Fact.FailedDocuments(set, error)])),
      .documentsLeftOut(.init(Samples.job, set)),
      .retried(
        .init(
          tier: 0, jobs: [Fact.RetriedJob(job: Samples.job, overrides: Job.Overrides(), reopened: set)], actor: "caller"
        )),
    ]
  }

  @Test("two million documents fit a message of 4 MiB in each kind of fact", arguments: facts)
  func bounded(_ fact: Fact) throws {
    let key = BatchKey(namespace: "n", batchID: "b")
    let record = Record(batch: key, sequence: 1, at: Samples.at, cause: .caller, fact: fact)
    let bytes = record.journalBytes
    #expect(bytes.count < 4 << 20)
    #expect(try Record(journalBytes: bytes, of: key) == record)
  }

  @Test("a retry of all jobs that there may be says once what they have in common")
  func retryOfAll() throws {
    let overrides = Job.Overrides(environment: ["X": String(repeating: "x", count: 61_441)])
    let jobs = (0..<16_384).map { index in
      var own = overrides
      if index.isMultiple(of: 2) { own.memoryBytes = Int64(1000 + index) }
      return Fact.RetriedJob(
        job: JobID(tier: 0, index: index), overrides: own,
        reopened: DocumentSet(stride(from: index % 256, to: 2000, by: 256)))
    }
    let key = BatchKey(namespace: "n", batchID: "b")
    let fact = Fact.retried(.init(tier: 0, jobs: jobs, actor: "ann", by: .caller))
    let record = Record(batch: key, sequence: 1, at: Samples.at, cause: .caller, fact: fact)
    let bytes = record.journalBytes
    #expect(bytes.count < 1 << 20)
    #expect(try Record(journalBytes: bytes, of: key) == record)
  }

  @Test("documents with any distances between them come back from the journal")
  func steps() throws {
    let sets = [
      [], [0], [7], [0, 1, 2, 3], [5, 10, 15, 16, 17, 40], [1, 3, 4, 6, 7, 9],
      Array(stride(from: 3, to: 5000, by: 256)),
    ].map { DocumentSet($0) }
    for set in sets { #expect(try back(DocumentSteps(documents: set)).documents == set) }
    let message = try JournalDocumentSteps(serialized: FieldEncoder.encode(DocumentSteps(documents: sets[6])))
    #expect(message.runs == [3, 256, 20])
    for runs: [UInt32] in [
      [1, 2], [0, 0, 2], [0, 1, 0], [0, 1, 3_000_000], [1_999_999, 1, 2], [.max, .max, .max],
    ] {
      var damaged = JournalDocumentSteps()
      damaged.runs = runs
      #expect(throws: FormatFault.self) { try read(DocumentSteps.self, damaged) }
    }
  }

  private func back<Value: Described>(_ value: Value) throws -> Value {
    try decoded(Value.self, FieldEncoder.encode(value))
  }

  private func read<Value: Described>(_ type: Value.Type, _ message: some Message) throws -> Value {
    try decoded(Value.self, message.serialized())
  }

  /// The fact of a record that an earlier version wrote.
  private func fact(_ configure: (inout JournalRecord) -> Void) throws -> Fact {
    var record = JournalRecord()
    record.cause = "caller"
    configure(&record)
    return try read(Record.self, record).fact
  }

  @Test("a retry that an earlier version wrote has all that is laid over a job's specification")
  func earlierRetry() throws {
    let written = Fact.retried(
      .init(
        tier: 0,
        jobs: [
          Fact.RetriedJob(
            job: Samples.job, overrides: Job.Overrides(cpus: 2), replacesOverrides: true, reopened: DocumentSet([3]))
        ], actor: "ann"))
    let record = Record(
      batch: BatchKey(namespace: "n", batchID: "b"), sequence: 1, at: Samples.at, cause: .caller, fact: written)
    let message = try JournalRecord(serialized: record.journalBytes)
    guard let earlier = message.retried else {
      Issue.record("not as earlier versions wrote it")
      return
    }
    #expect(earlier.jobs.map(\.overrides?.cpus) == [2])
    #expect(try fact { $0.retried = earlier } == written)
  }

  @Test("what failed alike is one group, also where an earlier version wrote it once for each document")
  func earlierFailures() throws {
    var failed = JournalDocumentsFailed()
    failed.attempt = try JournalAttempt(serialized: FieldEncoder.encode(Samples.job.attempt(1)))
    for position in [3, 4, 9] {
      var entry = JournalFailedDocument()
      entry.position = UInt32(position)
      entry.error = try JournalDocumentError(serialized: FieldEncoder.encode(Self.error))
      failed.documents.append(entry)
    }
    let groups = [Fact.FailedDocuments(DocumentSet([3, 4, 9]), Self.error)]
    #expect(
      try fact { $0.documentsFailed = failed } == .documentsFailed(.init(Samples.job.attempt(1), groups)))
  }

  @Test("a cancel of a tier, and whose doing it was, are told from an earlier version's words")
  func earlierWords() throws {
    var changed = JournalTierStatusChanged()
    changed.tier = 1
    changed.status = .running
    changed.reason = "cancel requested"
    #expect(try fact { $0.tierStatusChanged = changed } == .tierCancelRequested(.init(tier: 1)))
    for (actor, initiative) in [("auto_heal", Initiative.autoHeal), ("scheduler", .rules), ("ann", .caller)] {
      var retried = JournalRetried()
      retried.actor = actor
      var heal = JournalHealRecord()
      heal.actor = actor
      heal.action = .auto
      #expect(
        try fact { $0.retried = retried }
          == .retried(.init(tier: 0, jobs: [], actor: actor, by: initiative)))
      #expect(try read(HealRecord.self, heal).by == initiative)
    }
    var retry = JournalRetryTier()
    retry.jobs = [try JournalJob(serialized: FieldEncoder.encode(Samples.job))]
    retry.memoryBytes = 7
    var step = JournalHealStep()
    step.retryTier = retry
    step.risk = .low
    #expect(
      try read(HealStep.self, step).operation == .retryTier(tier: 0, jobs: [Samples.job], memoryBytes: [Samples.job: 7])
    )
    #expect(try read(HealStep.self, step).result == .done)
  }
}

/// A value as its bytes have it.
func decoded<Value: Described>(_ type: Value.Type, _ bytes: [UInt8]) throws -> Value {
  var value = Value.blank
  try FieldDecoder.read(&value, from: bytes)
  return value
}
