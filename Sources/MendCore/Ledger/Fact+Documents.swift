// The values of facts about documents, with their fields in the journal.

extension Fact {
  /// Documents that an attempt took to process.
  package struct DocumentsClaimed: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var documents: DocumentSet
    /// The worker's own name for the claim; empty where it gave none.
    package var id: String

    package init(_ attempt: AttemptID, _ documents: DocumentSet, id: String = "") {
      self.attempt = attempt
      self.documents = documents
      self.id = id
    }

    package static let schemaName = "JournalDocuments"
    package static var blank: Self { Self(.blank, DocumentSet()) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.documents(2, "documents", &documents)
      try v.string(3, "claim_id", &id)
    }
  }

  /// Documents that an attempt committed, or gave back.
  package struct DocumentsOfAttempt: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var documents: DocumentSet

    package init(_ attempt: AttemptID, _ documents: DocumentSet) {
      self.attempt = attempt
      self.documents = documents
    }

    package static let schemaName = "JournalDocuments"
    package static var blank: Self { Self(.blank, DocumentSet()) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.documents(2, "documents", &documents)
      var none = ""
      try v.string(3, "claim_id", &none)
    }
  }

  /// Documents that failed in an attempt.
  package struct DocumentsFailed: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    /// Documents that failed alike share one error, so that the fact is as large as what it says.
    package var groups: [FailedDocuments]

    package init(_ attempt: AttemptID, _ groups: [FailedDocuments]) {
      self.attempt = attempt
      self.groups = groups
    }

    package static var blank: Self { Self(.blank, []) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      if v.rewrites {
        for place in groups.indices { try groups[place].error.describe(v) }
        return
      }
      // A document that failed alone stands as earlier versions wrote it, once with its error.
      var alone = groups.filter { $0.documents.count == 1 }.map {
        FailedDocument(position: $0.documents.next(from: 0) ?? 0, error: $0.error)
      }
      var alike = groups.filter { $0.documents.count > 1 }
      try v.messages(2, "documents", &alone)
      try v.messages(45, "alike", &alike)
      if v.reads { groups = FailedDocument.groups(of: alone) + alike }
    }
  }

  /// Results of an attempt that were known already.
  package struct WorkRepeated: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var count: Int

    package init(_ attempt: AttemptID, count: Int) {
      self.attempt = attempt
      self.count = count
    }

    package static var blank: Self { Self(.blank, count: 0) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.count(2, "count", &count)
    }
  }

  /// The stage that an attempt is in from here on.
  package struct StageEntered: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var name: String

    package init(_ attempt: AttemptID, name: String) {
      self.attempt = attempt
      self.name = name
    }

    package static let schemaName = "JournalStage"
    package static var blank: Self { Self(.blank, name: "") }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.string(2, "name", &name)
      var none = Duration.zero
      try v.span(3, "duration_ms", &none)
    }
  }

  /// The time that an attempt spent in a stage.
  package struct StageSpent: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var name: String
    package var duration: Duration

    package init(_ attempt: AttemptID, name: String, _ duration: Duration) {
      self.attempt = attempt
      self.name = name
      self.duration = duration
    }

    package static let schemaName = "JournalStage"
    package static var blank: Self { Self(.blank, name: "", .zero) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.string(2, "name", &name)
      try v.span(3, "duration_ms", &duration)
    }
  }

  /// Documents that a job wrote into its collection.
  package struct CollectionWritten: Hashable, Sendable, Described {
    package var job: JobID
    package var collectionID: String
    package var count: Int

    package init(_ job: JobID, collectionID: String, count: Int) {
      self.job = job
      self.collectionID = collectionID
      self.count = count
    }

    package static var blank: Self { Self(.blank, collectionID: "", count: 0) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "job", &job)
      try v.string(2, "collection_id", &collectionID)
      try v.count(3, "count", &count)
    }
  }

  /// A report with an id.
  package struct ReportTaken: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var report: TakenReport

    package init(_ attempt: AttemptID, _ report: TakenReport) {
      self.attempt = attempt
      self.report = report
    }

    package static var blank: Self { Self(.blank, TakenReport(id: "", accepted: 0, repeated: 0)) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.string(2, "report_id", &report.id)
      try v.count(3, "accepted", &report.accepted)
      try v.count(4, "repeated", &report.repeated)
      try v.messages(5, "stage_times", &report.stageTimings)
      try v.count(6, "written", &report.written)
      try v.hash(75, "fingerprint", &report.fingerprint, isOptional: true)
    }
  }

  /// Documents that go on without a job.
  package struct DocumentsLeftOut: Hashable, Sendable, Described {
    package var job: JobID
    package var documents: DocumentSet

    package init(_ job: JobID, _ documents: DocumentSet) {
      self.job = job
      self.documents = documents
    }

    package static var blank: Self { Self(.blank, DocumentSet()) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "job", &job)
      try v.documents(2, "documents", &documents)
    }
  }

  /// Documents with the error that they share.
  package struct FailedDocuments: Hashable, Sendable, Described {
    package var documents: DocumentSet
    package var error: DocumentError

    package init(_ documents: DocumentSet, _ error: DocumentError) {
      self.documents = documents
      self.error = error
    }

    package init(position: Int, error: DocumentError) { self.init(DocumentSet(CollectionOfOne(position)), error) }

    package static let schemaName = "JournalFailedAlike"
    package static var blank: Self { Self(DocumentSet(), .blank) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.documents(1, "documents", &documents)
      try v.field(2, "error", &error)
    }
  }
}

/// A document that failed alone, in the journal.
private struct FailedDocument: Described {
  var position: Int
  var error: DocumentError

  static var blank: Self { Self(position: 0, error: .blank) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var whole: Int64? = Int64(position)
    try v.number(1, "position", .uint32, &whole, isOptional: false)
    if v.reads {
      position = Int(whole ?? 0)
      guard position < documentsLimit else { throw FormatFault("a document \(position)") }
    }
    try v.field(2, "error", &error)
  }

  /// Neighbours with the same error are put together: earlier versions wrote it once for each document.
  static func groups(of documents: [FailedDocument]) -> [Fact.FailedDocuments] {
    var groups: [Fact.FailedDocuments] = []
    for document in documents {
      if groups.last?.error == document.error {
        groups[groups.count - 1].documents.insert(document.position)
      } else {
        groups.append(Fact.FailedDocuments(position: document.position, error: document.error))
      }
    }
    return groups
  }
}

/// What a report contained beside its documents.
package struct TakenReport: Hashable, Codable, Sendable {
  /// The worker's own name for the report.
  package var id: String
  /// As the worker was answered.
  package var accepted: Int
  package var repeated: Int
  package var stageTimings: [Job.StageTotal]
  /// Documents written into the job's collection.
  package var written: Int
  /// As `WorkerRequest.Report` has it.
  package var fingerprint: UInt64

  package init(
    id: String, accepted: Int, repeated: Int, stageTimings: [Job.StageTotal] = [], written: Int = 0,
    fingerprint: UInt64 = 0
  ) {
    self.id = id
    self.accepted = accepted
    self.repeated = repeated
    self.stageTimings = stageTimings
    self.written = written
    self.fingerprint = fingerprint
  }
}
