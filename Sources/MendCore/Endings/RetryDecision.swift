// Retry policy: rules, the first that matches decides; each cause has its own budget
// (<doc:Domain#Retry-rules>).

enum RetryDecision: Hashable {
  struct Retry: Hashable {
    var backoff: Duration
    /// The next attempt's limit where the rule raises it.
    var memoryBytes: Int64?
    var reason: String
  }

  case retry(Retry)
  /// With what the rules had to say, empty where none matched.
  case fail(String)
  case ignore
}

extension RetryRule {
  func matches(_ cause: FailureCause, _ exit: ExitRecord?) -> Bool {
    if let category, category != cause.category { return false }
    if let wanted = self.cause, wanted != cause { return false }
    if exitCodes.isEmpty { return true }
    guard case .exited(let code) = exit?.termination else { return false }
    return exitCodes.contains(code)
  }

  /// Whether there is an end of this cause that it matches.
  func mayMatch(_ cause: FailureCause) -> Bool {
    (category ?? cause.category) == cause.category && (self.cause ?? cause) == cause
  }

  /// Whether it matches whatever `other` does.
  func covers(_ other: RetryRule) -> Bool {
    if let category, category != (other.category ?? other.cause?.category) { return false }
    if let cause, cause != other.cause { return false }
    return exitCodes.isEmpty || (!other.exitCodes.isEmpty && Set(other.exitCodes).isSubset(of: exitCodes))
  }

  /// Whether it was written for attempts that are stuck for this cause: then it ends them, too.
  func namesStall(_ cause: FailureCause) -> Bool {
    cause.isStall && (self.cause == cause || (self.cause == nil && category == .timeout))
  }

  /// The first wait, doubled with each attempt that this rule has started.
  func backoff(after earlier: Int) -> Duration {
    min(backoffMaximum, backoff * (1 << min(earlier, 20)))
  }
}

extension Core {
  /// The first of the rules that the caller wrote which matches; nil where none does, or none was written.
  func specifiedRule(for job: JobID, of key: BatchKey, _ cause: FailureCause, _ exit: ExitRecord?) -> RetryRule? {
    batches[key]?.extractorSpecification(of: job).retryRules.first { $0.matches(cause, exit) }
  }

  /// What the job's rules say about an attempt that ended by itself, or by a timer. The attempt is the job's last.
  func decision(for job: Job, of key: BatchKey, after end: AttemptEnd, _ cause: FailureCause) -> RetryDecision {
    // Nothing may run past the batch's own time.
    if cause == .batchTimeout { return .fail("") }
    let specified = batches[key]?.extractorSpecification(of: job.id).retryRules ?? []
    let rules = specified.isEmpty ? RetryRule.defaults : specified
    guard let rule = rules.first(where: { $0.matches(cause, end.exit) }) else { return .fail("") }
    switch rule.action {
    case .fail:
      return .fail("")
    case .ignore:
      return .ignore
    case .retry:
      return retry(by: rule, of: rules, job, after: end, cause, capacities.of(executor(of: key)))
    }
  }

  private func retry(
    by rule: RetryRule, of rules: [RetryRule], _ job: Job, after end: AttemptEnd, _ cause: FailureCause,
    _ capacity: Capacity
  ) -> RetryDecision {
    // What a document was found guilty of, or came before it was found, does not count; nor what a caller retried.
    let isolated = job.attempts.lastIndex { $0.end?.isIsolating == true }.map { $0 + 1 } ?? 0
    let counted = max(isolated, job.attemptsBeforeRetry)
    let earlier = job.attempts.dropFirst(counted).dropLast().count { attempt in
      attempt.end.map { $0.cause == cause && rules.first { $0.matches(cause, attempt.end?.exit) } == rule } ?? false
    }
    let limit = cause == .oom && rule.memoryFactor > 1 ? job.attempts.last?.parameters.resources.memoryBytes ?? 0 : 0
    // How much more there is, an executor that has not answered yet cannot say: the limit stays for once.
    let isRaised = limit > 0 && capacity.isKnown
    let raised = isRaised ? raisedMemory(from: limit, end.exit, by: rule, atMost: capacity.memoryBytes) : nil
    let isAtCeiling = isRaised && raised == nil
    // Another death around the same document makes it a suspect, and the rest goes on without it. Where none was in
    // process, it is no document's doing.
    let mayBeADocument = job.hasDocumentsLost(to: job.attempts.count)
    if rule.maxAttempts > 0, end.mayComeFromADocument,
      end.isIsolating || ((earlier >= rule.maxAttempts || (isAtCeiling && mayBeADocument)) && job.hasOpenSuspects)
    {
      // Which document it is, is what is asked: that costs no budget of the rule, and no more memory.
      let spent = job.isolatingAttempts + max(0, earlier - rule.maxAttempts)
      guard spent <= limits.isolationAttempts else {
        return .fail("after \(limits.isolationAttempts) attempts to find out which documents it is")
      }
      return .retry(
        RetryDecision.Retry(
          backoff: rule.backoff(after: 0), memoryBytes: nil,
          reason: "goes on without what is quarantined, and runs suspects apart, after \(cause.rawValue)"))
    }
    if earlier >= rule.maxAttempts {
      return .fail(
        rule.maxAttempts == 0
          ? "its rule allows no retry"
          : "after \(Figures.count(earlier, "retry", plural: "retries")) for \(cause.rawValue)")
    }
    var retry = RetryDecision.Retry(
      backoff: rule.backoff(after: earlier), memoryBytes: nil,
      reason: "retry \(earlier + 1) of \(rule.maxAttempts) after \(cause.rawValue)")
    if let raised {
      retry.memoryBytes = raised
      let (from, to) = Figures.apart(limit, raised)
      retry.reason += ", memory limit \(from) to \(to)"
    } else if isAtCeiling {
      guard mayBeADocument else {
        return .fail("its memory limit of \(Figures.bytes(limit)) is at the ceiling")
      }
      retry.reason += ", its memory limit of \(Figures.bytes(limit)) is at the ceiling"
    }
    return .retry(retry)
  }

  /// From the limit, or the measured peak where that was higher; nil when the ceiling leaves nothing to raise.
  ///
  /// A limit above what the executor has was granted when it had more: a cluster that is small for some minutes is no
  /// ceiling.
  private func raisedMemory(
    from limit: Int64, _ exit: ExitRecord?, by rule: RetryRule, atMost memoryBytes: Int64
  ) -> Int64? {
    let base = Double(max(limit, exit?.peakMemoryBytes ?? 0))
    let executors = memoryBytes < limit ? Int64.max : memoryBytes
    let ceiling = rule.memoryCeilingBytes > 0 ? min(rule.memoryCeilingBytes, executors) : executors
    let raised = min(ceiling, Int64(min(base * rule.memoryFactor, 9e18)))
    return raised > limit ? raised : nil
  }
}
