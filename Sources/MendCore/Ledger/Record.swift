/// A fact in its batch's journal.
package struct Record: Hashable, Sendable {
  /// The kind of event that led to a fact, by its name in journals and histories.
  package enum Cause: String, Hashable, Sendable, CaseIterable {
    case caller, worker, executor, clock
    /// An event of another batch: capacity was freed, or its turn came.
    case scheduler
    case recovery
    /// The check of the batch's health between events.
    case diagnosis
    /// The delivery of notifications.
    case notifier
  }

  package var batch: BatchKey
  /// Counts from 1 within the batch, no gaps.
  package var sequence: UInt64
  package var at: Instant
  package var cause: Cause
  /// Who asked for it; empty if nobody did, or if the cause and the fact say it already (`who`).
  package var actor: String
  package var fact: Fact

  package init(batch: BatchKey, sequence: UInt64, at: Instant, cause: Cause, actor: String = "", fact: Fact) {
    self.batch = batch
    self.sequence = sequence
    self.at = at
    self.cause = cause
    self.actor = actor
    self.fact = fact
  }
}

extension Record {
  /// Who did it: a caller by name, `worker t0-j0.1`, `executor`, `scheduler`, `timer`, `server`, `diagnosis` or
  /// `notifier`.
  package var who: String {
    guard actor.isEmpty else { return actor }
    switch cause {
    case .worker: return fact.subject.attempt.map { "worker \($0)" } ?? "worker"
    case .clock: return "timer"
    case .recovery: return "server"
    case .caller, .executor, .scheduler, .diagnosis, .notifier: return cause.rawValue
    }
  }
}

extension Record: Described {
  /// The journal has the batch's key beside the record.
  package static var blank: Record {
    Record(
      batch: BatchKey(namespace: "", batchID: ""), sequence: 0, at: Instant(milliseconds: 0), cause: .caller,
      fact: .documentsAdded([]))
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    do throws(FormatFault) {
      try v.sequence(1, "sequence", &sequence)
      try v.instant(2, "at_ms", &at)
      try v.name(3, "cause", &cause, of: "cause")
      if !v.goesByNumber { try v.string(13, "actor", &actor) }
      var fact: Fact? = v.reads ? nil : self.fact
      let present = fact?.number
      try Fact.describeFrequent(&fact, present, v)
      if v.goesByNumber { try v.string(13, "actor", &actor) }
      // Most records have a frequent fact, and nothing after it.
      if present.map({ $0 > Fact.lastFrequent }) ?? (fact == nil || !v.isAtEnd) {
        try Fact.describeOthers(&fact, present, v)
      }
      guard let fact else { throw FormatFault("an unknown fact") }
      if v.assigns { self.fact = fact }
    } catch {
      var fault = error
      fault.sequence = sequence
      throw fault
    }
  }
}

/// On whose initiative something is done.
package enum Initiative: String, Codable, CaseIterable, SchemaEnum {
  case caller
  /// The batch's auto_heal policy.
  case autoHeal = "auto_heal"
  /// A job's retry rules.
  case rules

  package static var schemaName: String { "mend.v1.JournalInitiative" }
}
