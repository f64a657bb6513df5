import MendCore
import MendRuntime

@testable import MendExecutors

extension World {
  /// Who made a batch, and repeats itself until it is answered.
  struct Caller {
    var plan: Plan.Work
    /// It was said to be there.
    var isCreated = false
    var isSubmitted = false
    var retriesLeft: Int
    var actsLeft: Int
    /// What its plan was made for.
    var plannedGeneration: UInt64 = 0
    var isDone = false
    var calls = 0

    var key: BatchKey { BatchKey(namespace: plan.namespace, batchID: plan.id) }
    /// As the histories have it.
    var actor: String { "caller of \(plan.namespace)" }

    init(_ plan: Plan.Work) {
      self.plan = plan
      actsLeft = plan.acts.count
      retriesLeft = plan.retries
    }
  }

  // MARK: Lines

  func call(worker request: WorkerRequest, then answer: @escaping @Sendable (World, Result<Reply, Refusal>) -> Void) {
    guard let server else { return answer(self, .failure(.unavailable("no server"))) }
    if script != nil, let attempt = processes.first(where: { $0.value.attempt.launch.token == request.token })?.key {
      note(Script.directive(request.operation, of: attempt))
    }
    server.stepper.worker(request, answer: answering(in: nil, answer))
    wakeWriter()
  }

  /// The answer goes off when the round lets it out, and arrives a little later; a server that dies cuts the line.
  private func answering(
    in namespace: String?, _ answer: @escaping @Sendable (World, Result<Reply, Refusal>) -> Void
  ) -> @Sendable (Result<Reply, Refusal>) -> Void {
    lastCall += 1
    let number = lastCall
    waiting[number] = { [unowned self] result in after(.zero) { answer($0, result) } }
    return { [unowned self] result in
      check(result, in: namespace)
      guard let waiter = waiting.removeValue(forKey: number) else { return }
      after(some(.milliseconds(isChaotic ? 100 : 2))) { _ in waiter(result) }
    }
  }

  /// Asks until there is an answer; the same key each time.
  func ask(
    _ number: Int, _ operation: Command.Operation, key: String? = nil,
    then: @escaping @Sendable (World, Result<Reply, Refusal>) -> Void
  ) {
    callers[number].calls += 1
    let key = key ?? "\(callers[number].plan.id)-\(callers[number].calls)"
    let caller = callers[number]
    let command = Command(
      namespace: caller.plan.namespace, idempotencyKey: key, fingerprint: 1, actor: caller.actor, operation: operation)
    let again: @Sendable (World) -> Void = { world in world.ask(number, operation, key: key, then: then) }
    guard let server else { return after(.milliseconds(500), again) }
    let isLost = isChaotic && random.chance(plan.losses * 3)
    if isLost, random.chance(300) { return after(.milliseconds(500), again) }
    if script != nil, let directive = Script.directive(command) { note(directive) }
    server.stepper.command(
      command,
      answer: answering(in: caller.plan.namespace) { world, result in
        switch result {
        case .failure(.unavailable), .failure(.exhausted): world.after(.milliseconds(500), again)
        // The next server has the executor again.
        case .failure(let refusal) where refusal.isOfMissingExecutor: world.after(.milliseconds(500), again)
        default: if isLost { world.after(.milliseconds(500), again) } else { then(world, result) }
        }
      })
    wakeWriter()
  }

  // MARK: What they do

  func create(_ number: Int) {
    let plan = callers[number].plan
    let documents = (0..<plan.documents).map { Document(id: "d\($0)", uri: "file:///d\($0)") }
    ask(number, .createBatch(batchID: plan.id, plan.specification, documents: documents)) { world, result in
      if case .failure(.invalid) = result, world.dropRules(number) { return world.create(number) }
      guard case .success = result else { return world.fail(.durable, "creating \(plan.id) again says \(result)") }
      world.callers[number].isCreated = true
      world.submit(number)
    }
  }

  private func submit(_ number: Int) {
    let plan = callers[number].plan
    ask(number, .submitBatch(batchID: plan.id)) { world, result in
      // While nodes are gone it is refused what it could never have with those that are left.
      if case .failure(.precondition) = result, world.isSmaller {
        return world.after(.seconds(3)) { $0.submit(number) }
      }
      guard case .success = result else { return world.fail(.durable, "submitting \(plan.id) again says \(result)") }
      world.callers[number].isSubmitted = true
      for act in plan.acts { world.after(act.after) { $0.act(number, act.what) } }
      world.watch(number)
    }
  }

  /// A rule that no end could ever come to is refused; its author leaves the rules out then.
  private func dropRules(_ number: Int) -> Bool {
    var hadRules = false
    for tier in callers[number].plan.specification.tiers.indices {
      for extractor in callers[number].plan.specification.tiers[tier].extractors.indices {
        let rules = callers[number].plan.specification.tiers[tier].extractors[extractor].retryRules
        let kept = rules.filter { $0.cause != .documentErrors }
        if kept.count < rules.count { hadRules = true }
        callers[number].plan.specification.tiers[tier].extractors[extractor].retryRules = kept
      }
    }
    if hadRules { cover("rule refused") }
    return hadRules
  }

  private func act(_ number: Int, _ what: Plan.Act.What) {
    let id = callers[number].plan.id
    switch what {
    case .pause(let length):
      cover("pause")
      ask(number, .pauseBatch(batchID: id)) { world, _ in
        world.after(length) { world in
          world.ask(number, .resumeBatch(batchID: id)) { world, _ in world.callers[number].actsLeft -= 1 }
        }
      }
    case .cancel(let scope, let grace):
      cover("cancel")
      ask(number, .cancel(batchID: id, scope, grace: grace)) { world, _ in world.callers[number].actsLeft -= 1 }
    case .retry(let tier, let jobs, let scope):
      ask(number, .retry(batchID: id, tier: tier, jobs: jobs, Job.Overrides(), scope)) { world, result in
        if case .success = result { world.cover("retry at any time") } else { world.cover("retry refused") }
        world.callers[number].actsLeft -= 1
      }
    }
  }

  /// Looks at the batch now and then: heals what is stuck, retries what failed, until nothing is left to do.
  private func watch(_ number: Int) {
    let plan = callers[number].plan
    let next: @Sendable (World) -> Void = { world in world.after(.seconds(7)) { $0.watch(number) } }
    guard let server, let batch = batch(of: callers[number].key, at: server.runtime) else { return next(self) }
    if batch.status.isFinal {
      guard callers[number].actsLeft == 0 else { return next(self) }
      guard callers[number].retriesLeft > 0, !isChaotic || random.chance(300) else {
        callers[number].isDone = callers[number].retriesLeft == 0
        return callers[number].isDone ? () : next(self)
      }
      if let since = batch.completedAt, now - since < plan.retriesAfter { return next(self) }
      callers[number].retriesLeft -= 1
      cover("retry")
      let tier = batch.tiers.firstIndex { $0.status != .completed } ?? random.below(batch.tiers.count)
      return ask(number, .retry(batchID: plan.id, tier: tier, jobs: [], Job.Overrides(), plan.scope)) { world, _ in
        next(world)
      }
    }
    let health = server.runtime.health(of: batch, at: now)
    guard health.health == .stuck || (!isChaotic && !batch.duplicates.isEmpty) else { return next(self) }
    heal(number, next)
  }

  /// A dry run first, and then its plan, for the generation that it was made for.
  private func heal(_ number: Int, _ next: @escaping @Sendable (World) -> Void) {
    let id = callers[number].plan.id
    ask(number, .heal(batchID: id, tier: nil, .auto, dryRun: true, generation: 0)) { world, result in
      guard case .success(.healed(let plan)) = result else { return next(world) }
      world.callers[number].plannedGeneration = plan.generation
      // Who reads the plan takes a while, and the batch may move on.
      world.after(world.some(.seconds(4))) { world in
        world.ask(number, .heal(batchID: id, tier: nil, .auto, dryRun: false, generation: plan.generation)) {
          world, _ in
          next(world)
        }
      }
    }
  }

  /// The end of what goes wrong: everything works from now on.
  func mend() {
    if life == plan.lifeWithoutOther { die("it is started with all of its executors") }
  }
}

extension Refusal {
  fileprivate var isOfMissingExecutor: Bool {
    switch self {
    case .invalid("deployment_mode", _): true
    case .precondition(_, _, because: let reason): reason == .executorNotConfigured
    default: false
    }
  }
}
