import MendCore

// What rules decide, and of what documents are accused.

extension World {
  /// A job fails: did its rules leave anything undone?
  func checkFailure(_ id: JobID, _ failure: MendCore.Job.Failure, _ before: Model, at now: Instant) {
    let (name, cause) = (before.key.batchID, failure.cause)
    if cause == .batchTimeout {
      count(.deadlines)
      if let deadline = before.deadline(at: now), now < deadline {
        fail(.deadlines, "\(name) \(id) fails of the batch's timeout \((deadline - now).inSeconds) s too early")
      }
      return
    }
    let job = before[id]
    let specified = before.extractor(id).retryRules
    let rules = specified.isEmpty ? RetryRule.defaults : specified
    count(.rules)
    guard let rule = rules.first(where: { Self.isFor(cause, job.attempts.last?.end?.exit, $0) }), rule.action == .retry
    else { return }
    // It is said of documents, after an attempt that ended well: who names its category means others.
    if cause == .documentErrors, rule.cause == nil { return }
    if isPoisoned(before, id, by: cause) {
      count(.poison)
      let left = job.count(.pending)
      if left > 0, rule.maxAttempts > 0, (job.retries[cause] ?? 0) < 32 {
        return fail(.poison, "\(name) \(id) fails of \(cause.rawValue) for one document, and \(left) are left undone")
      }
    }
    // At the ceiling of its memory there is nothing to retry with.
    if cause == .oom, rule.memoryFactor > 1 { return }
    if (job.retries[cause] ?? 0) < rule.maxAttempts {
      fail(
        .rules,
        "\(name) \(id) fails of \(cause.rawValue) after \(job.retries[cause] ?? 0) of \(rule.maxAttempts) retries: "
          + failure.message)
    }
  }

  private static func isFor(_ cause: FailureCause, _ exit: ExitRecord?, _ rule: RetryRule) -> Bool {
    if let category = rule.category, category != cause.category { return false }
    if let named = rule.cause, named != cause { return false }
    if rule.exitCodes.isEmpty { return true }
    if case .exited(let code)? = exit?.termination { return rule.exitCodes.contains(code) }
    return false
  }

  /// A job that goes well: with one bad document among its own, it is done with all others.
  func checkPoisoned(_ id: JobID, _ before: Model) {
    guard before[id].attempts.contains(where: { $0.end?.cause.map { isPoisoned(before, id, by: $0) } == true }) else {
      return
    }
    count(.poison)
    let left = before[id].count(.pending) + before[id].count(.processing)
    if left > 0 {
      fail(.poison, "\(before.key.batchID) \(id) succeeds beside one bad document, and \(left) are left undone")
    }
  }

  private func isPoisoned(_ model: Model, _ id: JobID, by cause: FailureCause) -> Bool {
    guard case .documentCommand(let words) = model.extractor(id).work, words.contains("poison=") else { return false }
    return cause == (words.contains("oom_at") ? .oom : .exitCode)
  }

  /// Documents are failed for an attempt's end: those that it had.
  func checkAccusation(_ name: String, _ before: Model, _ id: JobID, _ failed: [Fact.FailedDocuments]) {
    for group in failed where group.error.causedByAttempt {
      for position in group.documents {
        count(.accusations)
        let place = before[id].places[position]
        if place != .processing {
          fail(
            .accusations,
            "\(name) \(id): document \(position) fails of \(group.error.code) with an attempt, and was \(place)")
        }
      }
    }
  }

  /// What findings say that documents did.
  func checkSuspects(_ diagnosis: Diagnosis, of batch: Batch) {
    guard let model = store.models[batch.key] else { return }
    for finding in diagnosis.findings {
      guard let id = finding.job, model.knows(id) else { continue }
      for evidence in finding.evidence {
        guard let said = evidence.values["attempts_ended"].flatMap({ Int($0) }),
          let document = evidence.values["document_id"].flatMap({ batch.documents.position(of: $0) })
        else { continue }
        count(.accusations)
        let known = model[id].deaths[document] ?? 0
        if said > known {
          fail(
            .accusations,
            "\(batch.key.batchID) \(id): document \(document) is said to have ended \(said) attempts, and may have \(known)"
          )
        }
      }
    }
  }

  // MARK: What workers say besides

  /// What is written and how long a stage took comes once, however often it is said.
  func checkTold(_ key: BatchKey, _ id: JobID) {
    guard let model = store.models[key], model.knows(id) else { return }
    let told = told[JobName(batch: key, job: id)] ?? Told()
    count(.repetition)
    if model[id].written < told.writtenAtLeast || model[id].spent < told.spentAtLeast {
      fail(
        .repetition,
        "\(key.batchID) \(id): \(model[id].written) are written in \(model[id].spent.inSeconds) s, and "
          + "\(told.writtenAtLeast) in \(told.spentAtLeast.inSeconds) s were reported and answered")
    }
    if model[id].written > told.written {
      fail(.repetition, "\(key.batchID) \(id): \(model[id].written) are written, and \(told.written) were reported")
    }
    if model[id].spent > told.spent {
      fail(
        .repetition,
        "\(key.batchID) \(id): \(model[id].spent.inSeconds) s were spent, and \(told.spent.inSeconds) were reported")
    }
  }
}

struct JobName: Hashable {
  var batch: BatchKey
  var job: JobID
}

/// What the workers of a job said in all, each report once.
struct Told {
  /// What a report says that it took.
  static let ofEach: Duration = .milliseconds(100)

  var written = 0
  var failed = 0
  var spent: Duration = .zero
  /// By what they say, with a number each.
  var reports: [[String]: Int] = [:]
  /// Those that were answered, and what they come to.
  var answered: Set<[String]> = []
  var writtenAtLeast = 0
  var spentAtLeast: Duration = .zero

  static func words(of report: WorkerRequest.Report, by attempt: AttemptKey) -> [String] {
    ["\(attempt.number)"] + report.completed + report.failed.map(\.documentID)
  }
}
