import JournalSchema
import MendCore
import MendJournal
import MendProtobuf
import MendRuntime
import Testing

/// What is written is what is read, for every case there is.
struct JournalRoundTripTests {
  private let key = BatchKey(namespace: "n", batchID: "b")

  private func through(_ fact: Fact) throws -> Fact {
    let record = Record(batch: key, sequence: 42, at: Samples.at, cause: .caller, fact: fact)
    let back = try Record(journalBytes: record.journalBytes, of: key)
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
    #expect(throws: FormatFault.self) { try through(.documentsCommitted(.init(Samples.job.attempt(1), set))) }
  }

  @Test("every reply that is kept comes back as it was", arguments: Samples.replies)
  func replies(_ reply: Reply) throws {
    #expect(try decoded(Reply.self, FieldEncoder.encode(reply)) == reply)
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

  @Test("every state, cause and executor has the number and the names that the schema gives it")
  func enums() throws {
    func check<Value: SchemaEnum & CaseIterable, Schema: Enum>(_ type: Value.Type, _ schema: Schema.Type) throws {
      #expect(Value.schemaName == Schema.protobufName)
      #expect(Value.allCases.count == Schema.caseNames.count - 1)
      for value in Value.allCases {
        let name = try #require(Schema.caseNames.first { $0.number == value.number && $0.number != 0 })
        #expect(name.short == value.name)
        #expect(Value(number: name.number) == value)
        #expect(Value(schemaName: name.schema) == value && Value(schemaName: name.short) == value)
      }
      for number: Int32 in [.min, -1, 0, 99, .max] { #expect(Value(number: number) == nil) }
      for name in ["", "unspecified", "x_" + (Schema.caseNames.last?.short ?? "")] {
        #expect(Value(schemaName: name) == nil)
      }
    }
    try check(MendCore.BatchStatus.self, JournalSchema.BatchStatus.self)
    try check(MendCore.TierStatus.self, JournalSchema.TierStatus.self)
    try check(MendCore.JobStatus.self, JournalSchema.JobStatus.self)
    try check(MendCore.Health.self, JournalSchema.Health.self)
    try check(MendCore.HealthReason.self, JournalSchema.HealthReason.self)
    try check(MendCore.DocumentStatus.self, JournalSchema.DocumentStatus.self)
    try check(Insight.Severity.self, JournalSchema.Severity.self)
    try check(MendCore.RetryScope.self, JournalSchema.RetryScope.self)
    try check(MendCore.FailureCategory.self, JournalSchema.FailureCategory.self)
    try check(MendCore.FailureCause.self, JournalSchema.FailureCause.self)
    try check(MendCore.Confidence.self, JournalSchema.Confidence.self)
    try check(MendCore.Risk.self, JournalSchema.Risk.self)
    try check(MendCore.ExecutorKind.self, JournalSchema.ExecutorKind.self)
    try check(MendCore.HealAction.self, JournalSchema.HealAction.self)
    try check(MendCore.RetryRule.Action.self, JournalSchema.RetryAction.self)
    try check(Initiative.self, JournalInitiative.self)
    try check(MendCore.HealStep.Result.self, JournalStepResult.self)
  }

  @Test("another reader of the schema reads what is written, and writes the same")
  func otherReader() throws {
    for (index, fact) in Samples.facts.enumerated() {
      let record = Record(
        batch: key, sequence: UInt64(index + 1), at: Samples.at, cause: .worker, actor: "ann", fact: fact)
      let message = try JournalRecord(serialized: record.journalBytes)
      #expect(message.unknownFields.isEmpty)
      #expect(message.serialized() == record.journalBytes)
      var options = JSONEncodingOptions()
      options.includeNulls = false
      #expect(try message.jsonValue(options).compact() == record.json.compact())
      for json in [try message.jsonValue(), try message.jsonValue(.canonical)] {
        #expect(try Record(jsonText: json.compact(), of: key) == record)
      }
    }
  }

  @Test("fields in any order, unknown ones among them, are the same value")
  func anyOrder() throws {
    for fact in Samples.facts {
      let record = Record(batch: key, sequence: 7, at: Samples.at, cause: .clock, actor: "ann", fact: fact)
      var fields: [[UInt8]] = [[0xC2, 0x3E, 1, 0]]  // Field 1000.
      var reader = FieldSlices(record.journalBytes)
      while let field = reader.next() { fields.append(field) }
      #expect(try Record(journalBytes: fields.reversed().flatMap(\.self), of: key) == record)
    }
  }

  @Test("a listing comes back as it was")
  func listing() throws {
    var listing = Samples.listing("b")
    for completedAt in [listing.completedAt, nil] {
      listing.completedAt = completedAt
      var back = try decoded(
        ValueRow<BatchListing>.self, FieldEncoder.encode(ValueRow(writtenBy: "1", value: listing)))
      back.value.key = listing.key
      #expect(back.value == listing && back.writtenBy == "1")
    }
  }

  @Test("a million neighbouring documents take a handful of bytes")
  func packedSets() {
    #expect(FieldEncoder.encode(DocumentSet(all: 1_000_000)).count < 10)
  }

  @Test("two facts in one record are refused, whichever they are")
  func twoFacts() throws {
    let job = Samples.job
    let facts: [Fact] = [
      .stageEntered(.init(job.attempt(1), name: "s")), .staleReport(job.attempt(1)),
      .tierCancelRequested(.init(tier: 1)), .attemptBeat(job.attempt(1)),
    ]
    let records = facts.map { Record(batch: key, sequence: 1, at: Samples.at, cause: .caller, fact: $0).journalBytes }
    for (one, other) in records.indices.flatMap({ one in records.indices.map { (one, $0) } }) where one != other {
      // Messages whose bytes stand one after the other are one message, with the fields of both.
      #expect(throws: FormatFault.self) { try Record(journalBytes: records[one] + records[other], of: key) }
    }
  }

  @Test("a fact's name is that of its field", arguments: Samples.facts)
  func names(_ fact: Fact) throws {
    let json = Record(batch: key, sequence: 1, at: Samples.at, cause: .caller, fact: fact).json
    let field = fact.name == "retried" ? "retried_jobs" : fact.name
    #expect(json[field] != nil, "\(fact.name)")
  }

  @Test("a listing and a notification that a later version wrote say which it was")
  func writers() throws {
    let listing = ValueRow(writtenBy: "9.8.7", value: BatchListing.blank)
    let notification = ValueRow(writtenBy: "9.8.7", value: MendCore.Notification.blank)
    // With a status that is not known here.
    for (bytes, read) in [
      (FieldEncoder.encode(listing) + [3 << 3, 99], writer(BatchListing.self)),
      (FieldEncoder.encode(notification) + [6 << 3, 99], writer(MendCore.Notification.self)),
    ] { #expect(try read(bytes) == "9.8.7") }
  }

  private func writer<Value: RowValue>(_ type: Value.Type) -> ([UInt8]) throws -> String {
    { bytes in
      var row = ValueRow<Value>.blank
      #expect(throws: FormatFault.self) { try FieldDecoder.read(&row, from: bytes) }
      return ValueRow<Value>.writer(of: bytes)
    }
  }

  @Test("a fact of a later version is refused, not skipped")
  func unknownFact() throws {
    // Field 200, a message: no fact of this version.
    let bytes: [UInt8] = [8, 1, 0xC2, 0x0C, 0]
    let fault = #expect(throws: FormatFault.self) {
      try Record(journalBytes: bytes + [26, 5] + Array("clock".utf8), of: key)
    }
    #expect(fault?.found == "an unknown fact" && fault?.kind == .unknown && fault?.sequence == 1)
  }

  @Test("a state of a later version is refused, not guessed")
  func unknownState() throws {
    var changed = JournalBatchStatusChanged()
    changed.status = JournalSchema.BatchStatus(rawValue: 99)
    var record = JournalRecord()
    record.sequence = 3
    record.cause = "clock"
    record.batchStatusChanged = changed
    let fault = #expect(throws: FormatFault.self) { try Record(journalBytes: record.serialized(), of: key) }
    #expect(fault?.description == "record 3 has no value 99 of mend.v1.BatchStatus, which this version does not know")
  }

  @Test("every cause of a record comes back, by the word that journals have always had")
  func causes() throws {
    let words = ["caller", "worker", "executor", "clock", "scheduler", "recovery", "diagnosis", "notifier"]
    #expect(Record.Cause.allCases.map(\.rawValue) == words)
    for cause in Record.Cause.allCases {
      let record = Record(
        batch: key, sequence: 1, at: Samples.at, cause: cause, fact: .batchStatusChanged(.init(.queued, reason: "")))
      let written = try JournalRecord(serialized: record.journalBytes)
      #expect(written.cause == cause.rawValue)
      #expect(try Record(journalBytes: written.serialized(), of: key) == record)
    }
  }

  @Test("a record whose cause this version does not know is refused, and one without any", arguments: ["moon", ""])
  func unknownCause(_ word: String) throws {
    let known = Record(
      batch: key, sequence: 1, at: Samples.at, cause: .clock, fact: .batchStatusChanged(.init(.queued, reason: "")))
    var record = try JournalRecord(serialized: known.journalBytes)
    record.cause = word
    let fault = #expect(throws: FormatFault.self) { try Record(journalBytes: record.serialized(), of: key) }
    #expect(fault?.found == "no cause \"\(word)\"")
  }

  @Test("a damaged document set is refused", arguments: [[UInt32(1)], [0, UInt32.max], [UInt32.max, 1]])
  func damagedSet(_ runs: [UInt32]) throws {
    var set = JournalDocumentSet()
    set.runs = runs
    #expect(throws: FormatFault.self) { try decoded(DocumentSet.self, set.serialized()) }
  }
}

/// The fields of a message, each with its tag.
private struct FieldSlices {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  mutating func next() -> [UInt8]? {
    let start = rest
    guard let tag = varint() else { return nil }
    switch tag & 7 {
    case 0: _ = varint()
    case 1: rest = rest.dropFirst(8)
    default:
      let length = Int(varint() ?? 0)
      rest = rest.dropFirst(length)
    }
    return Array(start.prefix(start.count - rest.count))
  }

  private mutating func varint() -> UInt64? {
    guard !rest.isEmpty else { return nil }
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst() {
      value |= UInt64(byte & 0x7F) << shift
      shift += 7
      if byte < 0x80 { break }
    }
    return value
  }
}
