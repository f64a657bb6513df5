/// What to do about a finding: a sentence, and the call that does it where one of Mend's does.
package struct Remedy: Hashable, Sendable {
  package enum Call: Hashable, Codable, Sendable {
    case retry(tier: Int, jobs: [JobID], Job.Overrides, RetryScope)
    case heal(HealAction, tier: Int?)
    case cancel(CancelScope)
  }

  package var description: String
  /// nil for what a person must do or decide.
  package var call: Call?
  /// What a person may type; nil where `call` says it.
  package var command: ProgramCommand?

  package init(_ description: String, _ call: Call? = nil, by command: ProgramCommand? = nil) {
    self.description = description
    self.call = call
    self.command = command
  }

  init(_ advice: Advice) { self.init(advice.text, by: advice.command) }

  package var advice: Advice { Advice(description, call.map { .call($0) } ?? command) }
}

extension Remedy.Call: Described {
  package static let schemaName = "JournalRemedyCall"
  package static var blank: Self { .cancel(.batch) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var call: Self? = v.reads ? nil : self
    try v.member(
      1, "retry", of: &call,
      { (call: RetryCall) in .retry(tier: call.tier, jobs: call.jobs, call.overrides, call.scope) }
    ) {
      if case .retry(let tier, let jobs, let overrides, let scope) = $0 {
        RetryCall(tier: tier, jobs: jobs, overrides: overrides, scope: scope)
      } else {
        nil
      }
    }
    try v.member(2, "heal", of: &call, { (call: HealCall) in .heal(call.action, tier: call.tier) }) {
      if case .heal(let action, let tier) = $0 { HealCall(action: action, tier: tier) } else { nil }
    }
    try v.member(3, "cancel", of: &call, { .cancel($0) }) { if case .cancel(let scope) = $0 { scope } else { nil } }
    guard let call else { throw FormatFault("no known remedy") }
    if v.assigns { self = call }
  }

  private struct RetryCall: Described {
    var tier: Int
    var jobs: [JobID]
    var overrides: Job.Overrides
    var scope: RetryScope

    static var blank: Self { Self(tier: 0, jobs: [], overrides: Job.Overrides(), scope: .failed) }

    mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.small(1, "tier", &tier)
      try v.messages(2, "jobs", &jobs)
      try v.field(3, "overrides", &overrides)
      try v.choice(4, "scope", &scope)
    }
  }

  private struct HealCall: Described {
    var action: HealAction
    var tier: Int?

    static var blank: Self { Self(action: .auto, tier: nil) }

    mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.choice(1, "action", &action)
      try v.small(2, "tier", &tier)
    }
  }
}

extension CancelScope: Described {
  package static var blank: CancelScope { .batch }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var tier: Int? = if case .tier(let tier) = self { tier } else { nil }
    var job: JobID? = if case .job(let job) = self { job } else { nil }
    try v.small(1, "tier", &tier)
    try v.message(2, "job", &job)
    if v.reads { self = job.map { .job($0) } ?? tier.map { .tier($0) } ?? .batch }
  }
}

extension DiagnosisContext {
  /// The executor did not even try to start it, and says why.
  func isRefusedByExecutor(_ attempt: Attempt?) -> Bool {
    guard let end = attempt?.end, end.exit == nil else { return false }
    return end.evidence.contains { $0.observer == .executor && !$0.observed.isEmpty }
  }

  /// No exit was seen, and the executor itself says that it was made to end.
  func isEndedByOthers(_ attempt: Attempt?) -> Bool {
    guard let exit = attempt?.end?.exit, exit.finding?.cause == .signal, case .unknown = exit.termination else {
      return false
    }
    return true
  }

  /// Empty (the whole tier) where this is the only job of the tier that has something to be retried.
  func retryJobs(_ job: Job) -> [JobID] {
    let tier = batch.tiers.first { $0.number == job.id.tier }
    let alone = tier?.jobs.allSatisfy { $0.id == job.id || ($0.status == .succeeded && $0.failed.isEmpty) } ?? true
    return alone ? [] : [job.id]
  }
}
