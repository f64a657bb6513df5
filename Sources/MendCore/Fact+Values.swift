// The values of facts, in the order of their cases.

extension Fact {
  /// The batch has another status.
  public struct BatchStatusChanged: Hashable, Sendable {
    public var status: BatchStatus
    /// For people.
    public var reason: String

    public init(_ status: BatchStatus, reason: String) {
      self.status = status
      self.reason = reason
    }
  }

  /// A tier began over the documents that it was handed.
  public struct TierStarted: Hashable, Sendable {
    public var tier: Int
    public var handed: DocumentSet

    public init(tier: Int, handed: DocumentSet) {
      self.tier = tier
      self.handed = handed
    }
  }

  /// A tier has another status.
  public struct TierStatusChanged: Hashable, Sendable {
    public var tier: Int
    public var status: TierStatus
    /// For people.
    public var reason: String

    public init(tier: Int, _ status: TierStatus, reason: String) {
      self.tier = tier
      self.status = status
      self.reason = reason
    }
  }

  /// A cancel of a whole running tier.
  public struct TierCancelRequested: Hashable, Sendable {
    public var tier: Int

    public init(tier: Int) {
      self.tier = tier
    }
  }

  /// A job has another status.
  public struct JobStatusChanged: Hashable, Sendable {
    public var job: JobID
    public var status: JobStatus
    /// Of a job that failed.
    public var failure: Job.Failure?
    /// For people.
    public var reason: String

    public init(_ job: JobID, _ status: JobStatus, failure: Job.Failure?, reason: String) {
      self.job = job
      self.status = status
      self.failure = failure
      self.reason = reason
    }
  }

  /// An attempt that is to be launched.
  public struct AttemptIntended: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    /// Secret: it lets its worker in.
    public var token: String
    public var parameters: SubmissionParameters

    public init(_ attempt: AttemptID, token: String, _ parameters: SubmissionParameters) {
      self.attempt = attempt
      self.token = token
      self.parameters = parameters
    }
  }

  /// An attempt that its executor has.
  public struct AttemptTaken: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var handle: ExecutorHandle

    public init(_ attempt: AttemptID, _ handle: ExecutorHandle) {
      self.attempt = attempt
      self.handle = handle
    }
  }

  /// An attempt that is to end.
  public struct AttemptEnding: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var reason: EndReason
    /// Between SIGTERM and SIGKILL; nil where an older version wrote it.
    public var grace: Duration?

    public init(_ attempt: AttemptID, _ reason: EndReason, grace: Duration? = nil) {
      self.attempt = attempt
      self.reason = reason
      self.grace = grace
    }
  }

  /// An attempt that ended, and how.
  public struct AttemptEnded: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var end: AttemptEnd

    public init(_ attempt: AttemptID, _ end: AttemptEnd) {
      self.attempt = attempt
      self.end = end
    }
  }

  /// A job's next attempt may not start before this.
  public struct NextAttemptScheduled: Hashable, Sendable {
    public var job: JobID
    public var at: Instant

    public init(_ job: JobID, at: Instant) {
      self.job = job
      self.at = at
    }
  }

  /// Documents that an attempt took to process.
  public struct DocumentsClaimed: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var documents: DocumentSet
    /// The worker's own name for the claim; empty where it gave none.
    public var id: String

    public init(_ attempt: AttemptID, _ documents: DocumentSet, id: String = "") {
      self.attempt = attempt
      self.documents = documents
      self.id = id
    }
  }

  /// Documents that an attempt committed, or gave back.
  public struct DocumentsOfAttempt: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var documents: DocumentSet

    public init(_ attempt: AttemptID, _ documents: DocumentSet) {
      self.attempt = attempt
      self.documents = documents
    }
  }

  /// Documents that failed in an attempt.
  public struct DocumentsFailed: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    /// Documents that failed alike share one error, so that the fact is as large as what it says.
    public var groups: [FailedDocuments]

    public init(_ attempt: AttemptID, _ groups: [FailedDocuments]) {
      self.attempt = attempt
      self.groups = groups
    }
  }

  /// Results of an attempt that were known already.
  public struct WorkRepeated: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var count: Int

    public init(_ attempt: AttemptID, count: Int) {
      self.attempt = attempt
      self.count = count
    }
  }

  /// The stage that an attempt is in from here on.
  public struct StageEntered: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var name: String

    public init(_ attempt: AttemptID, name: String) {
      self.attempt = attempt
      self.name = name
    }
  }

  /// The time that an attempt spent in a stage.
  public struct StageSpent: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var name: String
    public var duration: Duration

    public init(_ attempt: AttemptID, name: String, _ duration: Duration) {
      self.attempt = attempt
      self.name = name
      self.duration = duration
    }
  }

  /// Documents that a job wrote into its collection.
  public struct CollectionWritten: Hashable, Sendable {
    public var job: JobID
    public var collectionID: String
    public var count: Int

    public init(_ job: JobID, collectionID: String, count: Int) {
      self.job = job
      self.collectionID = collectionID
      self.count = count
    }
  }

  /// A report with an id.
  public struct ReportTaken: Hashable, Sendable, OfAttempt {
    public var attempt: AttemptID
    public var report: TakenReport

    public init(_ attempt: AttemptID, _ report: TakenReport) {
      self.attempt = attempt
      self.report = report
    }
  }

  /// Documents that go on without a job.
  public struct DocumentsLeftOut: Hashable, Sendable {
    public var job: JobID
    public var documents: DocumentSet

    public init(_ job: JobID, _ documents: DocumentSet) {
      self.job = job
      self.documents = documents
    }
  }

  /// Jobs that run again.
  public struct Retried: Hashable, Sendable {
    public var tier: Int
    public var jobs: [RetriedJob]
    /// For people.
    public var actor: String
    public var by: Initiative

    public init(tier: Int, jobs: [RetriedJob], actor: String, by: Initiative = .caller) {
      self.tier = tier
      self.jobs = jobs
      self.actor = actor
      self.by = by
    }
  }

  /// Documents with the error that they share.
  public struct FailedDocuments: Hashable, Sendable {
    public var documents: DocumentSet
    public var error: DocumentError

    public init(_ documents: DocumentSet, _ error: DocumentError) {
      self.documents = documents
      self.error = error
    }

    public init(position: Int, error: DocumentError) { self.init(DocumentSet(CollectionOfOne(position)), error) }
  }

  /// A job that runs again, with what is other than specified.
  public struct RetriedJob: Hashable, Sendable {
    public var job: JobID
    /// Laid over what earlier retries changed. But for its memory it is what was asked for all jobs of the fact.
    public var overrides: Job.Overrides
    /// The overrides stand in the place of earlier ones, as facts of older versions have it.
    public var replacesOverrides: Bool
    /// Goes from failed (or committed) back to pending.
    public var reopened: DocumentSet

    public init(job: JobID, overrides: Job.Overrides, replacesOverrides: Bool = false, reopened: DocumentSet) {
      self.job = job
      self.overrides = overrides
      self.replacesOverrides = replacesOverrides
      self.reopened = reopened
    }
  }
}

/// A value of a fact about one attempt.
public protocol OfAttempt {
  var attempt: AttemptID { get }
}

extension OfAttempt {
  public var job: JobID { attempt.job }
  public var number: Int { attempt.number }
}
