// The values of facts about batches, tiers and jobs, with their fields in the journal.

extension Fact {
  /// The batch has another status.
  package struct BatchStatusChanged: Hashable, Sendable, Described {
    package var status: BatchStatus
    /// For people.
    package var reason: String

    package init(_ status: BatchStatus, reason: String) {
      self.status = status
      self.reason = reason
    }

    package static var blank: Self { Self(.created, reason: "") }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.choice(1, "status", &status)
      try v.prose(2, "reason", &reason)
    }
  }

  /// A tier began over the documents that it was handed.
  package struct TierStarted: Hashable, Sendable, Described {
    package var tier: Int
    package var handed: DocumentSet

    package init(tier: Int, handed: DocumentSet) {
      self.tier = tier
      self.handed = handed
    }

    package static var blank: Self { Self(tier: 0, handed: DocumentSet()) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.small(1, "tier", &tier)
      try v.documents(2, "handed", &handed)
    }
  }

  /// A tier has another status.
  package struct TierStatusChanged: Hashable, Sendable, Described {
    package var tier: Int
    package var status: TierStatus
    /// For people.
    package var reason: String

    package init(tier: Int, _ status: TierStatus, reason: String) {
      self.tier = tier
      self.status = status
      self.reason = reason
    }

    package static var blank: Self { Self(tier: 0, .pending, reason: "") }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.small(1, "tier", &tier)
      try v.choice(2, "status", &status)
      try v.prose(3, "reason", &reason)
    }
  }

  /// A cancel of a whole running tier.
  package struct TierCancelRequested: Hashable, Sendable, Described {
    package var tier: Int

    package init(tier: Int) {
      self.tier = tier
    }

    package static var blank: Self { Self(tier: 0) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.small(1, "tier", &tier)
    }
  }

  /// A job has another status.
  package struct JobStatusChanged: Hashable, Sendable, Described {
    package var job: JobID
    package var status: JobStatus
    /// Of a job that failed.
    package var failure: Job.Failure?
    /// For people.
    package var reason: String

    package init(_ job: JobID, _ status: JobStatus, failure: Job.Failure?, reason: String) {
      self.job = job
      self.status = status
      self.failure = failure
      self.reason = reason
    }

    package static var blank: Self { Self(.blank, .pending, failure: nil, reason: "") }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "job", &job)
      try v.choice(2, "status", &status)
      try v.message(3, "failure", &failure)
      try v.prose(4, "reason", &reason)
    }
  }

  /// Jobs that run again.
  package struct Retried: Hashable, Sendable, Described {
    package var tier: Int
    package var jobs: [RetriedJob]
    /// For people.
    package var actor: String
    package var by: Initiative

    package init(tier: Int, jobs: [RetriedJob], actor: String, by: Initiative = .caller) {
      self.tier = tier
      self.jobs = jobs
      self.actor = actor
      self.by = by
    }

    package static let schemaName = "JournalRetriedJobs"
    package static var blank: Self { Self(tier: 0, jobs: [], actor: "") }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.small(1, "tier", &tier)
      if v.rewrites {
        for place in jobs.indices { try jobs[place].overrides.describe(v) }
        return
      }
      var written = v.reads ? SharedOverrides() : SharedOverrides(of: jobs)
      try v.messages(2, "overrides", &written.overrides)
      try v.messages(3, "jobs", &written.jobs)
      try v.string(4, "actor", &actor)
      try v.initiative(5, "initiative", &by, of: actor)
      if v.reads { jobs = try written.retried() }
    }
  }

  /// A job that runs again, with what is other than specified.
  package struct RetriedJob: Hashable, Sendable {
    package var job: JobID
    /// Laid over what earlier retries changed. But for its memory it is what was asked for all jobs of the fact.
    package var overrides: Job.Overrides
    /// The overrides stand in the place of earlier ones, as facts of older versions have it.
    package var replacesOverrides: Bool
    /// Goes from failed (or committed) back to pending.
    package var reopened: DocumentSet

    package init(job: JobID, overrides: Job.Overrides, replacesOverrides: Bool = false, reopened: DocumentSet) {
      self.job = job
      self.overrides = overrides
      self.replacesOverrides = replacesOverrides
      self.reopened = reopened
    }
  }
}
