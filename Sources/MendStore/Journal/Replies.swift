import MendAPI
import MendCore

extension JournalAnswer {
  init(_ entry: IdempotencyEntry) {
    self.init()
    namespace = entry.namespace
    key = entry.key
    fingerprint = entry.fingerprint
    batchID = entry.batchID
    expiresMs = entry.expires.milliseconds
    reply = entry.reply.map { JournalReply($0) }
  }

  func entry() throws(JournalFault) -> IdempotencyEntry {
    IdempotencyEntry(
      namespace: namespace, key: key, fingerprint: fingerprint, batchID: batchID, reply: try reply?.decoded(),
      expires: Instant(expiresMs))
  }
}

extension JournalReply {
  init(_ reply: MendCore.Reply) {
    self.init()
    switch reply {
    case .created(let batchID, let status, let totalObjects):
      var created = JournalCreated()
      created.batchID = batchID
      created.status = status.wire
      created.totalObjects = Int64(totalObjects)
      self.reply = .created(created)
    case .documentsAdded(let batchID, let added, let totalObjects):
      var entry = JournalAdded()
      entry.batchID = batchID
      entry.added = Int64(added)
      entry.totalObjects = Int64(totalObjects)
      self.reply = .documentsAdded(entry)
    case .submitted(let batchID, let status, let queuePosition):
      var submitted = JournalSubmitted()
      submitted.batchID = batchID
      submitted.status = status.wire
      submitted.queuePosition = Int64(queuePosition)
      self.reply = .submitted(submitted)
    case .status(let batchID, let status):
      var entry = JournalStatus()
      entry.batchID = batchID
      entry.status = status.wire
      self.reply = .status(entry)
    case .retried(let batchID, let tier, let jobs, let documents, let status, let generation):
      var retried = JournalRetriedReply()
      retried.batchID = batchID
      retried.tier = Int32(clamping: tier)
      retried.jobs = jobs.map { JournalJob($0) }
      retried.documents = Int64(documents)
      retried.status = status.wire
      retried.generation = generation
      self.reply = .retried(retried)
    case .healed(let batchID, let generation, let dryRun, let steps):
      var healed = JournalHealed()
      healed.batchID = batchID
      healed.generation = generation
      healed.dryRun = dryRun
      healed.steps = steps.map { JournalHealStep($0) }
      self.reply = .healed(healed)
    case .cancelled(let batchID, let status, let ended):
      var cancelled = JournalCancelled()
      cancelled.batchID = batchID
      cancelled.status = status.wire
      cancelled.ended = ended.map { end in
        var entry = JournalEndedAttempt()
        entry.attempt = JournalAttempt(end.job, end.attempt)
        entry.receipt = JournalEndReceipt(end.receipt)
        return entry
      }
      self.reply = .cancelled(cancelled)
    case .workerStarted(let assignment):
      var started = JournalWorkerStarted()
      started.namespace = assignment.attempt.batch.namespace
      started.batchID = assignment.attempt.batch.batchID
      started.attempt = JournalAttempt(assignment.attempt.job, assignment.attempt.number)
      started.parameters = JournalSubmission(assignment.parameters)
      started.collectionID = assignment.collectionID
      started.heartbeatMs = assignment.heartbeat.milliseconds
      started.documentsLeft = Int64(assignment.documentsLeft)
      self.reply = .workerStarted(started)
    case .claimed(let documents, let finished, let retryAfter):
      var claimed = JournalClaimed()
      claimed.documents = documents.map { MendAPI.Document(journaling: $0) }
      claimed.finished = finished
      claimed.retryAfterMs = retryAfter?.milliseconds
      self.reply = .claimed(claimed)
    case .reported(let accepted, let repeated, let stop):
      var reported = JournalReported()
      reported.accepted = Int64(accepted)
      reported.repeatedWork = Int64(repeated)
      reported.stop = stop
      self.reply = .reported(reported)
    }
  }

  func decoded() throws(JournalFault) -> MendCore.Reply {
    guard let reply else { throw JournalFault("an unknown reply") }
    switch reply {
    case .created(let created):
      return .created(
        batchID: created.batchID, try MendCore.BatchStatus(created.status),
        totalObjects: Int(journaled: created.totalObjects))
    case .documentsAdded(let entry):
      return .documentsAdded(
        batchID: entry.batchID, added: Int(journaled: entry.added), totalObjects: Int(journaled: entry.totalObjects))
    case .submitted(let submitted):
      return .submitted(
        batchID: submitted.batchID, try MendCore.BatchStatus(submitted.status),
        queuePosition: Int(journaled: submitted.queuePosition))
    case .status(let entry): return .status(batchID: entry.batchID, try MendCore.BatchStatus(entry.status))
    case .retried(let retried):
      return .retried(
        batchID: retried.batchID, tier: Int(retried.tier), jobs: retried.jobs.map(\.job),
        documents: Int(journaled: retried.documents), try MendCore.BatchStatus(retried.status),
        generation: retried.generation)
    case .healed(let healed):
      return .healed(
        batchID: healed.batchID, generation: healed.generation, dryRun: healed.dryRun, try healed.steps.steps())
    case .cancelled(let cancelled):
      var ended: [MendCore.Reply.Ended] = []
      for entry in cancelled.ended {
        let attempt = try required(entry.attempt, "attempt")
        ended.append(
          MendCore.Reply.Ended(
            job: attempt.job, attempt: attempt.place, receipt: try required(entry.receipt, "receipt").receipt))
      }
      return .cancelled(batchID: cancelled.batchID, try MendCore.BatchStatus(cancelled.status), ended)
    case .workerStarted(let started):
      let attempt = try required(started.attempt, "attempt")
      return .workerStarted(
        MendCore.Reply.WorkerAssignment(
          attempt: AttemptKey(
            batch: BatchKey(namespace: started.namespace, batchID: started.batchID), job: attempt.job,
            number: attempt.place),
          parameters: try required(started.parameters, "parameters").parameters(),
          collectionID: started.collectionID, heartbeat: Duration(journaled: started.heartbeatMs),
          documentsLeft: Int(journaled: started.documentsLeft)))
    case .claimed(let claimed):
      return .claimed(
        claimed.documents.map(\.journaled), finished: claimed.finished,
        retryAfter: claimed.retryAfterMs.map { Duration(journaled: $0) })
    case .reported(let reported):
      return .reported(
        accepted: Int(journaled: reported.accepted), repeated: Int(journaled: reported.repeatedWork),
        stop: reported.stop)
    }
  }
}
