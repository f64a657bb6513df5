// The values of facts about attempts, with their fields in the journal.

extension Fact {
  /// An attempt that is to be launched.
  package struct AttemptIntended: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    /// Secret: it lets its worker in.
    package var token: String
    package var parameters: SubmissionParameters

    package init(_ attempt: AttemptID, token: String, _ parameters: SubmissionParameters) {
      self.attempt = attempt
      self.token = token
      self.parameters = parameters
    }

    package static var blank: Self { Self(.blank, token: "", .blank) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.secret(2, "token", &token)
      try v.field(3, "parameters", &parameters)
    }
  }

  /// An attempt that its executor has.
  package struct AttemptTaken: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var handle: ExecutorHandle

    package init(_ attempt: AttemptID, _ handle: ExecutorHandle) {
      self.attempt = attempt
      self.handle = handle
    }

    package static var blank: Self { Self(.blank, ExecutorHandle(node: "", reference: "")) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.string(2, "node", &handle.node)
      try v.number(3, "pid", &handle.pid)
      try v.string(4, "reference", &handle.reference)
      var waitingFor = handle.waitingFor ?? ""
      try v.quoted(5, "waiting_for", &waitingFor)
      if v.assigns { handle.waitingFor = waitingFor.isEmpty ? nil : waitingFor }
    }
  }

  /// An attempt that is to end.
  package struct AttemptEnding: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var reason: EndReason
    /// Between SIGTERM and SIGKILL; nil where an older version wrote it.
    package var grace: Duration?

    package init(_ attempt: AttemptID, _ reason: EndReason, grace: Duration? = nil) {
      self.attempt = attempt
      self.reason = reason
      self.grace = grace
    }

    package static var blank: Self { Self(.blank, .cancelled) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      var kind: EndReason.Kind? = reason.kind
      var cause = reason.cause
      try v.choice(2, "kind", &kind)
      try v.choice(3, "cause", &cause)
      try v.span(40, "grace_ms", &grace)
      guard v.reads else { return }
      guard let kind else { throw FormatFault("no reason for an attempt's end") }
      reason = try EndReason(kind, of: cause)
    }
  }

  /// An attempt that ended, and how.
  package struct AttemptEnded: Hashable, Sendable, OfAttempt, Described {
    package var attempt: AttemptID
    package var end: AttemptEnd

    package init(_ attempt: AttemptID, _ end: AttemptEnd) {
      self.attempt = attempt
      self.end = end
    }

    package static var blank: Self { Self(.blank, AttemptEnd(verdict: .succeeded, at: Instant(milliseconds: 0))) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try end.describe(v)
    }
  }

  /// A job's next attempt may not start before this.
  package struct NextAttemptScheduled: Hashable, Sendable, Described {
    package var job: JobID
    package var at: Instant

    package init(_ job: JobID, at: Instant) {
      self.job = job
      self.at = at
    }

    package static let schemaName = "JournalNextAttempt"
    package static var blank: Self { Self(.blank, at: Instant(milliseconds: 0)) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "job", &job)
      try v.instant(2, "at_ms", &at)
    }
  }
}

/// A value of a fact about one attempt.
package protocol OfAttempt {
  var attempt: AttemptID { get }
}

extension OfAttempt {
  package var job: JobID { attempt.job }
  package var number: Int { attempt.number }
}
