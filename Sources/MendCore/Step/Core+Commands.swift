// What callers ask for.

extension Core {
  mutating func take(_ command: Command, from call: CallID) {
    do throws(Refusal) {
      if let earlier = try earlierAnswer(to: command), let reply = earlier.reply {
        perform(.reply(call, reply))
        return
      }
      // Cancels answer when everything is proven gone; all others at once.
      if case .cancel(let batchID, let scope, let grace) = command.operation {
        try cancel(batchID, scope, grace: grace, command, call)
        return
      }
      let (batchID, reply) = try answer(command)
      if reply.isWorthRemembering { remember(command, batchID: batchID, reply: reply) }
      perform(.reply(call, reply))
    } catch {
      perform(.refuse(call, error))
    }
  }

  /// Carries a command out; a refusal has changed nothing.
  private mutating func answer(_ command: Command) throws(Refusal) -> (batchID: String, Reply) {
    let namespace = command.namespace
    switch command.operation {
    case .createBatch(let batchID, let specification, let documents):
      return try create(batchID, specification, documents, namespace: namespace)
    case .addDocuments(let batchID, let documents):
      return (batchID, try add(documents, to: try key(of: batchID, namespace)))
    case .submitBatch(let batchID):
      return (batchID, try submit(try key(of: batchID, namespace)))
    case .pauseBatch(let batchID):
      return (batchID, try pause(try key(of: batchID, namespace)))
    case .resumeBatch(let batchID):
      return (batchID, try resume(try key(of: batchID, namespace)))
    case .retry(let batchID, let tier, let jobs, let overrides, let scope):
      let key = try key(of: batchID, namespace)
      let retry = RetryAsked(tier: tier, jobs: jobs, overrides: overrides, scope: scope, actor: command.actor)
      let retried = try apply(retry, to: key)
      schedule()
      return (batchID, reply(to: retried, on: key))
    case .heal(let batchID, let tier, let action, let dryRun, let generation):
      let key = try key(of: batchID, namespace)
      return (batchID, try heal(key, tier: tier, action, dryRun: dryRun, generation: generation, actor: command.actor))
    case .cancel(let batchID, _, _):
      throw .notFound(resourceType: "batch", resourceID: batchID)
    }
  }

  /// A foreign batch and an unknown one look the same: ids are looked up within the caller's namespace only.
  func key(of batchID: String, _ namespace: String) throws(Refusal) -> BatchKey {
    let key = BatchKey(namespace: namespace, batchID: batchID)
    guard batches[key] != nil else { throw .notFound(resourceType: "batch", resourceID: batchID) }
    return key
  }

  func status(of key: BatchKey) -> BatchStatus { batches[key]?.status ?? .cancelled }

  private mutating func create(
    _ batchID: String, _ specification: BatchSpecification, _ documents: [Document], namespace: String
  ) throws(Refusal) -> (batchID: String, Reply) {
    if !batchID.isEmpty && !Identifier.isValid(batchID) { throw .invalid(field: "batch_id", rule: Identifier.rule) }
    try specification.validate(limits: limits, capacities: capacities)
    try validate(documents, adding: DocumentTable(), of: specification)
    try requireRoom(for: documents, of: specification, in: namespace)
    if index.liveBatches >= limits.liveBatches {
      throw .exhausted(
        limit: .liveBatches, "\(limits.liveBatches) batches are not finished yet", retryAfter: .seconds(5))
    }
    try requireRoom(for: specification, in: namespace)
    let key = batchID.isEmpty ? freshKey(namespace) : BatchKey(namespace: namespace, batchID: batchID)
    if batches[key] != nil { throw .alreadyExists(resourceType: "batch", resourceID: batchID) }
    // After the name: whoever asks about a batch that is there is told that.
    if specification.tiers.isEmpty { throw limits.refusal(ofTiers: 0) }
    let record = Record(
      batch: key, sequence: 1, at: context.now, cause: context.cause, actor: context.actor,
      fact: .batchCreated(specification))
    batches[key] = Batch.creating(record)
    index.liveBatches += 1
    if let batch = batches[key] { index.specifications.add(batch) }
    if specification.hasRulesForStalls { index.ruledStalls.insert(key) }
    context.output.writes.append(.record(record))
    touch(key)
    self.record(documents, on: key)
    return (key.batchID, .created(.init(batchID: key.batchID, status: .created, totalObjects: documents.count)))
  }

  private mutating func add(_ documents: [Document], to key: BatchKey) throws(Refusal) -> Reply {
    try requireCreated(key, doing: "take documents", todo: "create another batch for them")
    if let batch = batches[key] {
      try validate(documents, adding: batch.documents, of: batch.specification)
      try requireRoom(for: documents, of: batch.specification, in: key.namespace)
    }
    record(documents, on: key)
    let total = batches[key]?.documents.count ?? 0
    return .documentsAdded(.init(batchID: key.batchID, added: documents.count, totalObjects: total))
  }

  private mutating func record(_ documents: [Document], on key: BatchKey) {
    guard !documents.isEmpty, let before = batches[key]?.documentBytes else { return }
    record(.documentsAdded(documents), on: key)
    if let after = batches[key]?.documentBytes { index.documents.change(key.namespace, by: after - before) }
  }

  private mutating func submit(_ key: BatchKey) throws(Refusal) -> Reply {
    try requireCreated(key, doing: "be submitted", todo: "nothing is left to do; Retry runs failed parts again")
    guard let specification = batches[key]?.specification, batches[key]?.documents.count ?? 0 > 0 else {
      throw .precondition("batch \(key.batchID) has no documents", todo: "add documents first")
    }
    if specification.tiers.isEmpty {
      throw .precondition("batch \(key.batchID) has no tiers", todo: "create it with at least one tier")
    }
    for (number, tier) in specification.tiers.enumerated() {
      for extractor in tier.extractors {
        try requireSchedulable(
          extractor.resources, "extractor \(extractor.name) of tier \(number)", of: key)
      }
    }
    record(.batchStatusChanged(.init(.queued, reason: "submitted")), on: key)
    schedule()
    let queue = index.lanes[specification.executor]?.queue
    let position = queue?.entry(of: key).map { queue?.position(of: $0) ?? 0 } ?? 0
    return .submitted(.init(batchID: key.batchID, status: status(of: key), queuePosition: position))
  }

  private mutating func pause(_ key: BatchKey) throws(Refusal) -> Reply {
    switch status(of: key) {
    case .queued, .running:
      record(.batchStatusChanged(.init(.paused, reason: "paused by the caller")), on: key)
      giveUpStarts(of: key)
    case .paused:
      break
    case .created:
      throw .precondition("batch \(key.batchID) is created, not submitted", todo: "submit it first")
    case .completed, .failed, .cancelled:
      throw .precondition("batch \(key.batchID) is \(status(of: key).rawValue)", todo: "nothing is left to pause")
    }
    return .status(.init(batchID: key.batchID, status: status(of: key)))
  }

  /// What was not started yet does nothing in a pause but hold room. An entrypoint is left alone: it does its documents by
  /// itself, and whether it has begun is not known for sure.
  private mutating func giveUpStarts(of key: BatchKey) {
    guard let tier = runningTier(of: key), let jobs = batches[key]?.tiers[tier].jobs else { return }
    for job in jobs {
      guard let attempt = job.current, case .documentCommand = attempt.parameters.work, !attempt.hasReported else {
        continue
      }
      switch attempt.state {
      case .intended, .starting:
        askToEnd(AttemptKey(batch: key, job: job.id, number: attempt.number), .paused, grace: limits.defaultGrace)
      case .running, .ending, .ended:
        break
      }
    }
  }

  private mutating func resume(_ key: BatchKey) throws(Refusal) -> Reply {
    switch status(of: key) {
    case .paused:
      let before = batches[key]?.statusBeforePause ?? .running
      if before == .running, batches[key]?.startedAt != nil,
        let bound = limits.quota(of: key.namespace)?
          .bound(againstBatchBeside: index.started(in: key.namespace))
      {
        throw .exhausted(
          limit: .quotaBatches,
          "the quota of namespace \(key.namespace) is \(bound.allowed), and others have it: resume it when one of them is "
            + "over, or pause one", retryAfter: .seconds(5))
      }
      record(.batchStatusChanged(.init(before, reason: "resumed by the caller")), on: key)
      advance(key)
      schedule()
    case .queued, .running:
      break
    case .created:
      throw .precondition("batch \(key.batchID) is created, not submitted", todo: "submit it first")
    case .completed, .failed, .cancelled:
      throw .precondition("batch \(key.batchID) is \(status(of: key).rawValue)", todo: "use Retry to run it again")
    }
    return .status(.init(batchID: key.batchID, status: status(of: key)))
  }

  private func requireCreated(_ key: BatchKey, doing: String, todo: Advice) throws(Refusal) {
    let status = status(of: key)
    guard status == .created else {
      throw .precondition("batch \(key.batchID) is \(status.rawValue) and cannot \(doing)", todo: todo)
    }
  }

  func requireSchedulable(_ resources: Resources, _ subject: String, of key: BatchKey) throws(Refusal) {
    let (namespace, executor) = (key.namespace, executor(of: key))
    if let why = capacities.whyMissing(executor) {
      throw .precondition(
        "executor_not_configured: batch \(key.batchID) is of deployment_mode \(executor.rawValue)",
        todo: Advice(why),
        because: .executorNotConfigured)
    }
    let room = Room(capacity: capacities.of(executor), quota: limits.quota(of: namespace))
    guard let (reason, why) = room.whyNeverSchedulable(resources, in: namespace) else { return }
    throw .precondition(
      "\(reason.rawValue): \(subject) \(why)",
      todo: room.advice("ask for less", or: resources, in: namespace), because: reason)
  }

  /// What to do about jobs that have not run yet: nothing but to wait, unless one can never start as the server is now.
  func todoWhileWaiting(_ jobs: [Job], of batch: Batch) -> Advice {
    let room = Room(capacity: capacities.of(batch), quota: limits.quota(of: batch.key.namespace))
    for job in jobs {
      let asked = job.resourcesAsked(in: batch)
      guard let (_, why) = room.whyNeverSchedulable(asked, in: batch.key.namespace) else { continue }
      return room.advice(
        "\(job.title(in: batch)) can never start here (\(why)): ask for less in a new batch", or: asked,
        in: batch.key.namespace)
    }
    return "wait for it"
  }

  private mutating func freshKey(_ namespace: String) -> BatchKey {
    while true {
      let key = BatchKey(namespace: namespace, batchID: "b-" + generator.text(12, of: Self.idAlphabet))
      if batches[key] == nil { return key }
    }
  }

  /// Base 32 without letters that are taken for digits.
  private static let idAlphabet = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
  private static let hexAlphabet = Array("0123456789abcdef".utf8)

  mutating func freshToken() -> String { generator.text(32, of: Self.hexAlphabet) }
}

extension RandomNumberGenerator {
  /// The alphabet's size is a power of two, so that every character is as likely as any other.
  ///
  /// Each word of the generator is used up, for the system's asks the kernel for it.
  fileprivate mutating func text(_ length: Int, of alphabet: [UInt8]) -> String {
    let bitsPerCharacter = alphabet.count.trailingZeroBitCount
    var word: UInt64 = 0
    var bitsLeft = 0
    let bytes = (0..<length).map { _ in
      if bitsLeft < bitsPerCharacter {
        word = next()
        bitsLeft = UInt64.bitWidth
      }
      defer {
        word >>= UInt64(bitsPerCharacter)
        bitsLeft -= bitsPerCharacter
      }
      return alphabet[Int(word & UInt64(alphabet.count - 1))]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension Reply {
  /// A dry run changes nothing, so asking again is to look again.
  fileprivate var isWorthRemembering: Bool {
    if case .healed(let healed) = self { !healed.dryRun } else { true }
  }
}
