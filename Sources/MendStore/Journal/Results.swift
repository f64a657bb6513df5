import MendAPI
import MendCore

// What workers reported, as the journal has it.

extension JournalDocumentsFailed {
  /// A single document stands as earlier versions wrote it; those that failed alike share their error.
  mutating func append(_ group: Fact.FailedDocuments) {
    if group.documents.count == 1, let position = group.documents.next(from: 0) {
      var entry = JournalFailedDocument()
      entry.position = UInt32(clamping: position)
      entry.error = JournalDocumentError(group.error)
      documents.append(entry)
    } else if !group.documents.isEmpty {
      var entry = JournalFailedAlike()
      entry.documents = JournalDocumentSet(group.documents)
      entry.error = JournalDocumentError(group.error)
      alike.append(entry)
    }
  }

  /// Neighbours with the same error are put together: earlier versions wrote it once for each document.
  func groups() throws(JournalFault) -> [Fact.FailedDocuments] {
    var groups: [Fact.FailedDocuments] = []
    var last: JournalDocumentError?
    for entry in documents {
      let error = try required(entry.error, "error")
      let position = try JournalNumber.position(entry.position)
      if last == error {
        groups[groups.count - 1].documents.insert(position)
      } else {
        groups.append(Fact.FailedDocuments(position: position, error: error.error))
        last = error
      }
    }
    for entry in alike {
      groups.append(
        Fact.FailedDocuments(
          try required(entry.documents, "documents").documents(), try required(entry.error, "error").error))
    }
    return groups
  }
}

extension JournalReportTaken {
  init(_ attempt: JournalAttempt, _ report: TakenReport) {
    self.init()
    self.attempt = attempt
    reportID = report.id
    accepted = Int64(report.accepted)
    repeated = Int64(report.repeated)
    stageTimes = report.stageTimings.map { timing in
      var time = JournalStageTime()
      time.name = timing.name
      time.durationMs = timing.duration.milliseconds
      return time
    }
    written = Int64(report.written)
    if report.fingerprint != 0 { fingerprint = report.fingerprint }
  }

  var report: TakenReport {
    TakenReport(
      id: reportID, accepted: Int(journaled: accepted), repeated: Int(journaled: repeated),
      stageTimings: stageTimes.map { Job.StageTotal(name: $0.name, duration: Duration(journaled: $0.durationMs)) },
      written: Int(journaled: written), fingerprint: fingerprint ?? 0)
  }
}
