// What an idempotency key was answered, in the journal. Answers to workers are not kept: the numbers 8 to 10 of a reply
// were theirs.

extension IdempotencyEntry: Described {
  public static let schemaName = "JournalAnswer"
  public static var blank: IdempotencyEntry {
    IdempotencyEntry(
      namespace: "", key: "", fingerprint: 0, batchID: "", reply: nil, expires: Instant(milliseconds: 0))
  }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "namespace", &namespace)
    try v.string(2, "key", &key)
    try v.hash(3, "fingerprint", &fingerprint)
    try v.string(4, "batch_id", &batchID)
    try v.instant(5, "expires_ms", &expires)
    try v.message(6, "reply", &reply)
  }
}

extension Reply: Described {
  public static let schemaName = "JournalReply"
  public static var blank: Reply { .status(batchID: "", .created) }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var reply: Reply? = v.reads ? nil : self
    try Reply.describeSubmission(&reply, v)
    try Reply.describeRepair(&reply, v)
    guard let reply else { throw FormatFault("an unknown reply") }
    if v.assigns { self = reply }
  }

  private static func describeSubmission(_ reply: inout Reply?, _ v: FieldVisitor) throws(FormatFault) {
    var (batchID, status, count, total) = ("", BatchStatus.created, 0, 0)
    var number: UInt32 = 0
    switch reply {
    case .created(let id, let now, let documents): (number, batchID, status, total) = (1, id, now, documents)
    case .documentsAdded(let id, let added, let documents): (number, batchID, count, total) = (2, id, added, documents)
    case .submitted(let id, let now, let position): (number, batchID, status, count) = (3, id, now, position)
    case .status(let id, let now): (number, batchID, status) = (4, id, now)
    default: break
    }
    try v.member(
      1, "created", "JournalCreated", of: &reply, isSet: number == 1,
      .created(batchID: batchID, status, totalObjects: total)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
      try v.count(3, "total_objects", &total)
    }
    try v.member(
      2, "documents_added", "JournalAdded", of: &reply, isSet: number == 2,
      .documentsAdded(batchID: batchID, added: count, totalObjects: total)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.count(2, "added", &count)
      try v.count(3, "total_objects", &total)
    }
    try v.member(
      3, "submitted", "JournalSubmitted", of: &reply, isSet: number == 3,
      .submitted(batchID: batchID, status, queuePosition: count)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
      try v.count(3, "queue_position", &count)
    }
    try v.member(
      4, "status", "JournalStatus", of: &reply, isSet: number == 4, .status(batchID: batchID, status)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
    }
  }

  private static func describeRepair(_ reply: inout Reply?, _ v: FieldVisitor) throws(FormatFault) {
    var (batchID, status, generation) = ("", BatchStatus.created, UInt64(0))
    var (tier, jobs, documents): (Int, [JobID], Int) = (0, [], 0)
    var (dryRun, steps, ended): (Bool, [HealStep], [Ended]) = (false, [], [])
    var number: UInt32 = 0
    switch reply {
    case .retried(let id, let ofTier, let again, let count, let now, let after):
      (number, batchID, tier, jobs, documents, status, generation) = (5, id, ofTier, again, count, now, after)
    case .healed(let id, let planned, let isDry, let plan):
      (number, batchID, generation, dryRun, steps) = (6, id, planned, isDry, plan)
    case .cancelled(let id, let now, let attempts): (number, batchID, status, ended) = (7, id, now, attempts)
    default: break
    }
    try v.member(
      5, "retried", "JournalRetriedReply", of: &reply, isSet: number == 5,
      .retried(
        batchID: batchID, tier: tier, jobs: jobs, documents: documents, status, generation: generation)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.small(2, "tier", &tier)
      try v.messages(3, "jobs", &jobs)
      try v.count(4, "documents", &documents)
      try v.choice(5, "status", &status)
      try v.sequence(6, "generation", &generation)
    }
    try v.member(
      6, "healed", "JournalHealed", of: &reply, isSet: number == 6,
      .healed(batchID: batchID, generation: generation, dryRun: dryRun, steps)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.sequence(2, "generation", &generation)
      try v.flag(3, "dry_run", &dryRun)
      try v.messages(4, "steps", &steps)
    }
    try v.member(
      7, "cancelled", "JournalCancelled", of: &reply, isSet: number == 7, .cancelled(batchID: batchID, status, ended)
    ) { () throws(FormatFault) in
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
      try v.messages(3, "ended", &ended)
    }
  }
}

extension Reply.Ended: Described {
  public static let schemaName = "JournalEndedAttempt"
  public static var blank: Self { Self(job: .blank, attempt: 0, receipt: .blank) }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var attempt = AttemptID(job: job, number: self.attempt)
    try v.field(1, "attempt", &attempt)
    if v.reads { (job, self.attempt) = (attempt.job, attempt.number) }
    try v.field(2, "receipt", &receipt)
  }
}
