/// Everything that can happen to the core. `step(_:at:)` takes one at a time.
package enum Event: Hashable, Sendable {
  /// A caller asks; exactly one `Effect.reply` (or for cancels a later one) carries the same call id.
  case command(CallID, Command)
  /// A running job reports.
  case worker(CallID, WorkerRequest)
  /// An executor saw something.
  case observation(Observation)
  /// A notification about a batch was delivered, or given up.
  case notified(BatchKey, NotificationOutcome)
  /// Time passed: timers are due. Sent when `Output.wakeAt` comes, and at least once a second while batches live.
  case tick
  /// Nothing was looked at for so long: the machine was suspended, or this process was stopped, and what it watches perhaps
  /// with it. Sent before what came in meanwhile.
  case resumed(after: Duration)
  /// Sent once after recovery, before anything else: live attempts are handed to the executor for adoption.
  case recovered
}

/// What a worker can say. The token names the attempt and fences it.
package struct WorkerRequest: Hashable, Sendable {
  package var token: String
  package var operation: Operation

  package init(token: String, operation: Operation) {
    self.token = token
    self.operation = operation
  }

  package enum Operation: Hashable, Sendable {
    case start
    /// `id` is the worker's own word for this claim, at most `Attempt.claimIDLength` bytes: said again, it is answered the
    /// same documents. Empty: it cannot be said again.
    case claim(maximum: Int, id: String = "")
    case report(Report)
  }

  package struct Report: Hashable, Sendable {
    /// The worker's own word for this report, at most `Attempt.claimIDLength` bytes: said again, it is answered the same and
    /// nothing of it is counted twice. Empty: what it says beside its results is counted where one of them is new.
    package var id: String
    package var completed: [String]
    package var failed: [Failure]
    package var released: [String]
    /// Empty: no change of stage.
    package var stage: String
    package var stageTimings: [Job.StageTotal]
    package var written: [Written]
    /// Of all that it says, as it came: tells a report that is repeated from another one with its id. 0 is not known.
    package var fingerprint: UInt64

    package init(
      completed: [String] = [], failed: [Failure] = [], released: [String] = [], stage: String = "",
      stageTimings: [Job.StageTotal] = [], written: [Written] = [], id: String = "",
      fingerprint: UInt64 = 0
    ) {
      self.id = id
      self.completed = completed
      self.failed = failed
      self.released = released
      self.stage = stage
      self.stageTimings = stageTimings
      self.written = written
      self.fingerprint = fingerprint
    }

    /// It says nothing but that its worker lives.
    var isBeat: Bool {
      completed.isEmpty && failed.isEmpty && released.isEmpty && stage.isEmpty && stageTimings.isEmpty
        && written.isEmpty
    }
  }

  package struct Failure: Hashable, Sendable {
    package var documentID: String
    package var code: String
    package var message: String
    package var details: [String: String]

    package init(documentID: String, code: String, message: String, details: [String: String] = [:]) {
      self.documentID = documentID
      self.code = code
      self.message = message
      self.details = details
    }
  }

  package struct Written: Hashable, Sendable {
    package var collectionID: String
    package var count: Int

    package init(collectionID: String, count: Int) {
      self.collectionID = collectionID
      self.count = count
    }
  }
}

/// What an executor saw. May come late, twice, or for attempts that are long over; the core sorts that out.
package enum Observation: Hashable, Sendable {
  /// The launch was taken.
  case taken(AttemptKey, ExecutorHandle)
  /// The launch was not taken yet: what it waits for, in the executor's own words.
  case delayed(AttemptKey, message: String)
  /// It runs: its entrypoint was started.
  case started(AttemptKey)
  /// The launch failed and nothing of it runs.
  case launchFailed(AttemptKey, FailureCause, message: String)
  /// It ended; nothing of it runs any more.
  case ended(AttemptKey, ExitRecord, EndReceipt?)
  /// The executor does not know it (any more); nothing of it runs as far as can be told.
  case lost(AttemptKey, message: String)
  /// The executor cannot be asked; nothing is known of its attempts.
  case unreachable(ExecutorKind, message: String)
  case reachable(ExecutorKind)
  /// What the executor has to give, of which that was not known before or is not so any more.
  case capacity(Capacity)
  /// Whether it runs cannot be told for now: what keeps the executor from looking at it; nil once nothing does.
  case hidden(AttemptKey, message: String?)
  /// What its processes do, as the answer to `Effect.look`.
  case looked(AttemptKey, ProcessActivity)
  /// Somebody runs what is not the current attempt: by launch id or the executor's own reference.
  case duplicate(AttemptKey, reference: String)
}
