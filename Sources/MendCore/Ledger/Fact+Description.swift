extension Record: Described {
  /// Which batch it is of stands beside it in the journal.
  public static var blank: Record {
    Record(
      batch: BatchKey(namespace: "", batchID: ""), sequence: 0, at: Instant(milliseconds: 0), cause: .caller,
      fact: .documentsAdded([]))
  }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    do throws(FormatFault) {
      try v.sequence(1, "sequence", &sequence)
      try v.instant(2, "at_ms", &at)
      try v.name(3, "cause", &cause, of: "cause")
      if !v.goesByNumber { try v.string(13, "actor", &actor) }
      var fact: Fact? = v.reads ? nil : self.fact
      let present = fact?.number
      try Self.describeFrequent(&fact, present, v)
      if v.goesByNumber { try v.string(13, "actor", &actor) }
      // Most records have a frequent fact: the others are not gone through for them.
      if present ?? UInt32.max > Self.lastFrequent, present != nil || !v.goesByNumber || fact == nil {
        try Self.describeOthers(&fact, present, v)
      }
      guard let fact else { throw FormatFault("an unknown fact") }
      if v.assigns { self.fact = fact }
    } catch {
      var fault = error
      fault.sequence = sequence
      throw fault
    }
  }

  private static let lastFrequent: UInt32 = 15

  /// Facts with the short tags.
  private static func describeFrequent(_ fact: inout Fact?, _ present: UInt32?, _ v: FieldVisitor) throws(FormatFault) {
    try v.member(4, "documents_claimed", of: &fact, as: present, Fact.documentsClaimed) {
      if case .documentsClaimed(let fact) = $0 { fact } else { nil }
    }
    try v.member(5, "documents_committed", of: &fact, as: present, Fact.documentsCommitted) {
      if case .documentsCommitted(let fact) = $0 { fact } else { nil }
    }
    try v.member(6, "documents_failed", of: &fact, as: present, Fact.documentsFailed) {
      if case .documentsFailed(let fact) = $0 { fact } else { nil }
    }
    try v.member(7, "documents_released", of: &fact, as: present, Fact.documentsReleased) {
      if case .documentsReleased(let fact) = $0 { fact } else { nil }
    }
    try v.member(8, "stage_entered", of: &fact, as: present, Fact.stageEntered) {
      if case .stageEntered(let fact) = $0 { fact } else { nil }
    }
    try v.member(9, "stage_spent", of: &fact, as: present, Fact.stageSpent) {
      if case .stageSpent(let fact) = $0 { fact } else { nil }
    }
    try v.member(10, "collection_written", of: &fact, as: present, Fact.collectionWritten) {
      if case .collectionWritten(let fact) = $0 { fact } else { nil }
    }
    try v.member(11, "work_repeated", of: &fact, as: present, Fact.workRepeated) {
      if case .workRepeated(let fact) = $0 { fact } else { nil }
    }
    try v.member(12, "stale_report", of: &fact, as: present, Fact.staleReport) {
      if case .staleReport(let fact) = $0 { fact } else { nil }
    }
  }

  private static func describeOthers(_ fact: inout Fact?, _ present: UInt32?, _ v: FieldVisitor) throws(FormatFault) {
    try v.member(16, "batch_created", of: &fact, as: present, Fact.batchCreated) {
      if case .batchCreated(let fact) = $0 { fact } else { nil }
    }
    try v.member(17, "documents_added", of: &fact, as: present, { .documentsAdded($0.documents) }) {
      if case .documentsAdded(let documents) = $0 { DocumentsAdded(documents: documents) } else { nil }
    }
    try v.member(18, "batch_status_changed", of: &fact, as: present, Fact.batchStatusChanged) {
      if case .batchStatusChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(19, "tier_started", of: &fact, as: present, Fact.tierStarted) {
      if case .tierStarted(let fact) = $0 { fact } else { nil }
    }
    try v.member(20, "tier_status_changed", of: &fact, as: present, Fact.init(tierStatusChanged:)) {
      if case .tierStatusChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(21, "job_status_changed", of: &fact, as: present, Fact.jobStatusChanged) {
      if case .jobStatusChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(22, "attempt_intended", of: &fact, as: present, Fact.attemptIntended) {
      if case .attemptIntended(let fact) = $0 { fact } else { nil }
    }
    try v.member(23, "attempt_taken", of: &fact, as: present, Fact.attemptTaken) {
      if case .attemptTaken(let fact) = $0 { fact } else { nil }
    }
    try v.member(24, "attempt_started", of: &fact, as: present, Fact.attemptStarted) {
      if case .attemptStarted(let fact) = $0 { fact } else { nil }
    }
    try v.member(25, "attempt_ending", of: &fact, as: present, Fact.attemptEnding) {
      if case .attemptEnding(let fact) = $0 { fact } else { nil }
    }
    try v.member(26, "attempt_ended", of: &fact, as: present, Fact.attemptEnded) {
      if case .attemptEnded(let fact) = $0 { fact } else { nil }
    }
    try v.member(27, "next_attempt_scheduled", of: &fact, as: present, Fact.nextAttemptScheduled) {
      if case .nextAttemptScheduled(let fact) = $0 { fact } else { nil }
    }
    // As earlier versions wrote it: with all that is laid over the specification, in each job.
    try v.member(28, "retried", of: &fact, as: present, { .retried($0.retried) }) {
      if case .retried(let fact) = $0 { ReplacingRetry(fact) } else { nil }
    }
    try v.member(29, "healed", of: &fact, as: present, Fact.healed) {
      if case .healed(let fact) = $0 { fact } else { nil }
    }
    try v.member(30, "verdict_changed", of: &fact, as: present, Fact.verdictChanged) {
      if case .verdictChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(31, "notification_settled", of: &fact, as: present, Fact.notificationSettled) {
      if case .notificationSettled(let fact) = $0 { fact } else { nil }
    }
    try v.member(45, "report_taken", of: &fact, as: present, Fact.reportTaken) {
      if case .reportTaken(let fact) = $0 { fact } else { nil }
    }
    try v.member(46, "tier_cancel_requested", of: &fact, as: present, Fact.tierCancelRequested) {
      if case .tierCancelRequested(let fact) = $0 { fact } else { nil }
    }
    try v.member(47, "documents_left_out", of: &fact, as: present, Fact.documentsLeftOut) {
      if case .documentsLeftOut(let fact) = $0 { fact } else { nil }
    }
    try v.member(50, "attempt_beat", of: &fact, as: present, Fact.attemptBeat) {
      if case .attemptBeat(let fact) = $0 { fact } else { nil }
    }
    try v.member(70, "retried_jobs", of: &fact, as: present, Fact.retried) {
      if case .retried(let fact) = $0 { fact } else { nil }
    }
  }
}

extension Fact {
  /// Its field in the record. Numbers are only ever added; the frequent facts have the short tags.
  fileprivate var number: UInt32 {
    switch self {
    case .documentsClaimed: 4
    case .documentsCommitted: 5
    case .documentsFailed: 6
    case .documentsReleased: 7
    case .stageEntered: 8
    case .stageSpent: 9
    case .collectionWritten: 10
    case .workRepeated: 11
    case .staleReport: 12
    case .batchCreated: 16
    case .documentsAdded: 17
    case .batchStatusChanged: 18
    case .tierStarted: 19
    case .tierStatusChanged: 20
    case .jobStatusChanged: 21
    case .attemptIntended: 22
    case .attemptTaken: 23
    case .attemptStarted: 24
    case .attemptEnding: 25
    case .attemptEnded: 26
    case .nextAttemptScheduled: 27
    case .healed: 29
    case .verdictChanged: 30
    case .notificationSettled: 31
    case .reportTaken: 45
    case .tierCancelRequested: 46
    case .documentsLeftOut: 47
    case .attemptBeat: 50
    case .retried(let fact): fact.replacesOverrides ? 28 : 70
    }
  }

  /// Earlier versions wrote a cancel of a running tier as a change from running to running, for a certain reason.
  fileprivate init(tierStatusChanged changed: TierStatusChanged) {
    self =
      changed.status == .running && changed.reason == "cancel requested"
      ? .tierCancelRequested(TierCancelRequested(tier: changed.tier)) : .tierStatusChanged(changed)
  }
}

private struct DocumentsAdded: Described {
  var documents: [Document]

  static var blank: Self { Self(documents: []) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.messages(1, "documents", &documents)
  }
}
