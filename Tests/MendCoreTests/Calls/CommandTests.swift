@testable import MendCore
import Testing

@Suite("Commands")
struct CommandTests {
  private func specification(_ tiers: [TierSpecification] = [tier(extractor())]) -> BatchSpecification {
    BatchSpecification(executor: .simulated, tiers: tiers)
  }

  private func refusedField(_ specification: BatchSpecification, documents: [Document] = []) -> String? {
    var harness = Harness()
    let answer = harness.ask(.createBatch(batchID: "x", specification, documents: documents))
    #expect(answer == nil || harness.output.writes.isEmpty || answer.isSuccess)
    guard case .failure(.invalid(let field, _)) = answer else { return nil }
    return field
  }

  @Test("A created batch is CREATED, with its documents, and says its id")
  func creates() {
    var harness = Harness()
    let answer = harness.ask(.createBatch(batchID: "b", specification(), documents: Harness.documents(2)))
    #expect(answer == .success(.created(.init(batchID: "b", status: .created, totalObjects: 2))))
    #expect(harness.batch.status == .created)
    #expect(harness.batch.documents.count == 2)
    #expect(harness.batch.sequence == 2)
  }

  @Test("An id that the core picks is b- and twelve characters, and seeded")
  func picksIDs() {
    var first = Harness(seed: 9)
    var second = Harness(seed: 9)
    guard case .success(.created(let created)) = first.ask(.createBatch(batchID: "", specification(), documents: []))
    else {
      Issue.record("refused")
      return
    }
    #expect(created.batchID.hasPrefix("b-") && created.batchID.utf8.count == 14 && Identifier.isValid(created.batchID))
    #expect(
      second.ask(.createBatch(batchID: "", specification(), documents: []))
        == .success(.created(.init(batchID: created.batchID, status: .created, totalObjects: 0))))
  }

  @Test("A batch id that is taken is refused, in its own namespace only")
  func taken() {
    var harness = Harness()
    _ = harness.ask(.createBatch(batchID: "b", specification(), documents: []))
    #expect(
      harness.ask(.createBatch(batchID: "b", specification(), documents: []))
        == .failure(.alreadyExists(resourceType: "batch", resourceID: "b")))
    #expect(harness.ask(.createBatch(batchID: "b", specification(), documents: []), namespace: "other").isSuccess)
  }

  @Test("The memory that specifications take is bounded, for each namespace and for all, and comes free again")
  func specificationBytes() {
    var harness = Harness()
    harness.core.limits.specificationMemory.perNamespace = 20_000
    harness.core.limits.specificationMemory.all = 30_000
    harness.core.limits.specificationMemory.forSmallNamespaces = 0
    let long = [
      TierSpecification(extractors: [
        ExtractorSpecification(name: "x", work: .entrypoint(String(repeating: "x", count: 8000)))
      ])
    ]
    func limit(_ answer: Result<Reply, Refusal>?) -> Refusal.Limit? {
      guard case .failure(.exhausted(let limit, _, let retryAfter)) = answer, retryAfter != nil else { return nil }
      return limit
    }
    for id in ["a", "b"] {
      let answer = harness.create(id, long)
      #expect(answer.isSuccess)
    }
    let tooMuch = harness.create("c", long)
    #expect(limit(tooMuch) == .specificationBytesPerNamespace)
    // Another tenant has room, until all together have none.
    let other = harness.create("a", long, in: "other")
    #expect(other.isSuccess)
    let tooMuchOfAll = harness.create("b", long, in: "other")
    #expect(limit(tooMuchOfAll) == .specificationBytes)
    _ = harness.ask(.cancel(batchID: "a", .batch, grace: .zero))
    let batch = harness.core.batches[BatchKey(namespace: "default", batchID: "a")]
    let isGone = harness.core.retire(BatchKey(namespace: "default", batchID: "a"))
    let again = harness.create("c", long)
    #expect(isGone && again.isSuccess)
    // What comes back into memory counts as before.
    if let batch { harness.core.restore(batch) }
    let last = harness.create("d", long)
    #expect(limit(last) == .specificationBytesPerNamespace)
  }

  @Test("The memory that documents take is bounded, for each namespace and for all, and comes free again")
  func documentMemory() throws {
    var harness = Harness()
    harness.core.limits.documentMemory = MemoryLimit(100_000)
    harness.core.limits.documentMemory.perNamespace = 42_000
    harness.core.limits.documentMemory.forSmallNamespaces = 0
    func documents(_ name: String) -> [Document] {
      (0..<20).map { Document(id: "\(name)\($0)", uri: "file:///" + String(repeating: name, count: 2000)) }
    }
    func created(_ id: String, in namespace: String, _ given: [Document]) -> Refusal.Limit? {
      let answer = harness.ask(.createBatch(batchID: id, specification(), documents: given), namespace: namespace)
      guard case .failure(.exhausted(let limit, _, let retryAfter)) = answer, retryAfter != nil else { return nil }
      return limit
    }
    #expect(created("a", in: "default", documents("x")) == nil)
    #expect(created("b", in: "default", documents("y")) == .documentMemoryPerNamespace)
    #expect(created("b", in: "default", []) == nil)
    let added = harness.ask(.addDocuments(batchID: "b", documents("z")))
    guard case .failure(.exhausted(.documentMemoryPerNamespace, let message, _)) = added else {
      Issue.record("\(String(describing: added))")
      return
    }
    let used = harness.core.memoryUse.documents
    #expect(used > 0 && message.contains("the documents of namespace default take \(Figures.bytes(Int64(used)))"))
    #expect(harness.core.batches[BatchKey(namespace: "default", batchID: "b")]?.documents.count == 0)

    // Texts that are alike take less in the table than before they are in it.
    harness.core.limits.documentMemory.all = used + 40_000
    #expect(created("a", in: "other", documents("x")) == .documentMemory)
    let key = BatchKey(namespace: "default", batchID: "a")
    _ = harness.ask(.cancel(batchID: "a", .batch, grace: .zero))
    let batch = try #require(harness.core.batches[key])
    #expect(harness.core.memoryUse.documents == used, "it is in memory")
    let isGone = harness.core.retire(key)
    #expect(isGone && harness.core.memoryUse.documents == 0)
    #expect(created("a", in: "other", documents("x")) == nil)
    // What comes back into memory counts as before.
    let others = harness.core.memoryUse.documents
    harness.core.restore(batch)
    #expect(harness.core.memoryUse.documents == others + used)
  }

  @Test("A finished batch that comes back for a retry is refused while documents take too much memory")
  func documentMemoryOfRetry() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .fail)]))], documents: 1)
    harness.run()
    harness.end(.exited(1))
    #expect(harness.batch.status == .failed)
    harness.core.limits.documentMemory = MemoryLimit(harness.core.memoryUse.documents)
    harness.core.limits.documentMemory.forSmallNamespaces = 0
    func retry() -> Result<Reply, Refusal>? {
      harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed))
    }
    guard case .failure(.exhausted(.documentMemoryPerNamespace, _, _)) = retry() else {
      Issue.record("it was taken")
      return
    }
    harness.core.limits.documentMemory.perNamespace *= 2
    let taken = retry()
    #expect(taken.isSuccess)
  }

  @Test("A foreign batch answers exactly as an unknown one")
  func foreign() {
    var harness = Harness()
    _ = harness.ask(.createBatch(batchID: "b", specification(), documents: Harness.documents(1)))
    let foreign = harness.ask(.submitBatch(batchID: "b"), namespace: "other")
    #expect(foreign == .failure(.notFound(resourceType: "batch", resourceID: "b")))
    let unknown = harness.ask(.cancel(batchID: "b", .batch, grace: .zero), namespace: "other")
    #expect(unknown == foreign)
  }

  @Test("Every field that breaks a rule is named as the schema writes it")
  func fields() {
    var wrong = specification()
    wrong.priority = 101
    #expect(refusedField(wrong) == "priority")
    wrong = specification()
    wrong.maxConcurrent = -1
    #expect(refusedField(wrong) == "max_concurrent")
    wrong = specification()
    wrong.bucketID = "no spaces"
    #expect(refusedField(wrong) == "bucket_id")
    wrong = specification()
    wrong.timeout = .zero
    #expect(refusedField(wrong) == "timeout_seconds")
    wrong = specification()
    wrong.executor = .ray
    #expect(refusedField(wrong) == "deployment_mode")
    #expect(refusedField(specification([TierSpecification(extractors: [])])) == "tiers[0].extractors")
    #expect(
      refusedField(specification([tier(extractor()), tier(extractor("a"), extractor("a"))]))
        == "tiers[1].extractors[1].extractor_name")
    #expect(refusedField(specification([tier(extractor("no/slash"))])) == "tiers[0].extractors[0].extractor_name")
    #expect(refusedField(specification([tier(extractor(shards: 0))])) == "tiers[0].extractors[0].shards")
    #expect(refusedField(specification([tier(extractor(cpus: -1))])) == "tiers[0].extractors[0].num_cpus")
    #expect(refusedField(specification([tier(extractor(cpus: .nan))])) == "tiers[0].extractors[0].num_cpus")
    // So little would be nothing in a quota, and so short a time none at all.
    #expect(refusedField(specification([tier(extractor(cpus: 1e-9))])) == "tiers[0].extractors[0].num_cpus")
    #expect(
      refusedField(specification([tier(extractor(timers: Timers(run: .microseconds(500))))]))
        == "tiers[0].extractors[0].timers.run_seconds")
    #expect(refusedField(specification([tier(extractor(memory: -1))])) == "tiers[0].extractors[0].memory_bytes")
    #expect(
      refusedField(specification([tier(extractor(timers: Timers(heartbeat: .zero)))]))
        == "tiers[0].extractors[0].timers.heartbeat_seconds")
    #expect(
      refusedField(specification([tier(extractor(retry: [RetryRule(action: .retry, memoryFactor: 0.5)]))]))
        == "tiers[0].extractors[0].retry[0].memory_factor")
    var empty = extractor()
    empty.work = .entrypoint("")
    #expect(refusedField(specification([tier(empty)])) == "tiers[0].extractors[0].entrypoint")
    var environment = extractor()
    environment.environment = ["A=B": "c"]
    #expect(refusedField(specification([tier(environment)])) == "tiers[0].extractors[0].env")
    #expect(refusedField(specification()) == nil)
  }

  @Test("Document ids have a rule, and no duplicates within the call or with the batch")
  func documents() {
    let bad = [Document(id: "ok", uri: "u"), Document(id: "not ok", uri: "u")]
    #expect(refusedField(specification(), documents: bad) == "documents[1].document_id")
    let twice = Harness.documents(3) + Harness.documents(1, from: 1)
    #expect(refusedField(specification(), documents: twice) == "documents[3].document_id")
    var harness = Harness()
    _ = harness.ask(.createBatch(batchID: "b", specification(), documents: Harness.documents(3)))
    let answer = harness.ask(.addDocuments(batchID: "b", Harness.documents(2, from: 2)))
    guard case .failure(.invalid("documents[0].document_id", let rule)) = answer else {
      Issue.record("\(String(describing: answer))")
      return
    }
    #expect(rule.contains("is a duplicate of"))
    #expect(harness.batch.documents.count == 3)
  }

  @Test("Documents are added to a CREATED batch only, all of a call's or none")
  func adds() {
    var harness = Harness()
    _ = harness.ask(.createBatch(batchID: "b", specification(), documents: Harness.documents(1)))
    #expect(
      harness.ask(.addDocuments(batchID: "b", Harness.documents(2, from: 1)))
        == .success(.documentsAdded(.init(batchID: "b", added: 2, totalObjects: 3))))
    _ = harness.ask(.submitBatch(batchID: "b"))
    guard case .failure(.precondition) = harness.ask(.addDocuments(batchID: "b", Harness.documents(1, from: 9))) else {
      Issue.record("a running batch took documents")
      return
    }
  }

  @Test("The documents of a batch, and the batches that are not finished, are bounded")
  func bounded() {
    var limits = Limits()
    limits.documentsPerBatch = 2
    limits.liveBatches = 1
    var harness = Harness(limits: limits)
    guard
      case .failure(.exhausted(.documentsPerBatch, _, nil)) = harness.ask(
        .createBatch(batchID: "b", specification(), documents: Harness.documents(3)))
    else {
      Issue.record("not bounded")
      return
    }
    _ = harness.ask(.createBatch(batchID: "b", specification(), documents: []))
    guard
      case .failure(.exhausted(.liveBatches, _, .some)) = harness.ask(
        .createBatch(batchID: "c", specification(), documents: []))
    else {
      Issue.record("not bounded")
      return
    }
  }

  @Test("The documents of a batch times its jobs are bounded, whenever they come")
  func boundedTogether() {
    var limits = Limits()
    limits.documentsTimesJobsPerBatch = 12
    var harness = Harness(limits: limits)
    func isRefused(_ answer: Result<Reply, Refusal>?) -> Bool {
      guard case .failure(.exhausted(.documentsTimesJobs, let message, nil)) = answer else { return false }
      return message.contains("at most 12") && message.contains("4 documents") && message.contains("4 jobs")
    }
    let specification = specification([tier(extractor(shards: 3)), tier(extractor())])
    #expect(
      isRefused(harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(4)))))
    #expect(harness.core.batches.isEmpty)
    _ = harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(2)))
    #expect(isRefused(harness.ask(.addDocuments(batchID: "b", Harness.documents(2, from: 2)))))
    #expect(
      harness.ask(.addDocuments(batchID: "b", Harness.documents(1, from: 2)))
        == .success(.documentsAdded(.init(batchID: "b", added: 1, totalObjects: 3))))
  }

  @Test("A batch without tiers is refused, for it can be given none later")
  func withoutTiers() {
    var harness = Harness()
    guard
      case .failure(.invalid("tiers", let rule)) = harness.ask(
        .createBatch(batchID: "flat", specification([]), documents: Harness.documents(1)))
    else {
      Issue.record("not refused")
      return
    }
    #expect(rule == "must be 1 to 64, are 0")
  }

  @Test("An empty batch, and one that was submitted, are refused at submit")
  func submits() {
    var harness = Harness()
    _ = harness.ask(.createBatch(batchID: "empty", specification(), documents: []))
    #expect(harness.ask(.submitBatch(batchID: "empty")).isPrecondition)
    harness.submit([tier(extractor())])
    #expect(harness.ask(.submitBatch(batchID: "b")).isPrecondition)
  }

  @Test("What could never be scheduled is refused at submit and stays CREATED")
  func neverSchedulable() {
    var harness = Harness(cpus: 2, memory: 1000)
    for (id, extractor) in [
      ("cpus", extractor(cpus: 64)), ("memory", extractor(memory: 1001)),
    ] {
      _ = harness.ask(.createBatch(batchID: id, specification([tier(extractor)]), documents: Harness.documents(1)))
      guard case .failure(.precondition(let message, _, _)) = harness.ask(.submitBatch(batchID: id)) else {
        Issue.record("not refused")
        continue
      }
      #expect(message.hasPrefix("never_schedulable"))
      #expect(harness.core.batches[BatchKey(namespace: "default", batchID: id)]?.status == .created)
    }
  }

  @Test("A submitted batch runs at once when there is room")
  func runsAtOnce() {
    var harness = Harness()
    _ = harness.ask(.createBatch(batchID: "b", specification(), documents: Harness.documents(1)))
    #expect(
      harness.ask(.submitBatch(batchID: "b"))
        == .success(.submitted(.init(batchID: "b", status: .running, queuePosition: 0))))
    #expect(harness.launches == [harness.attempt()])
    #expect(harness.job().status == .starting)
  }

  @Test("A paused batch hands nothing out and goes on where it was")
  func pauses() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    #expect(harness.claim(1) == ["d0"])
    #expect(harness.ask(.pauseBatch(batchID: "b")) == .success(.status(.init(batchID: "b", status: .paused))))
    #expect(harness.ask(.pauseBatch(batchID: "b")) == .success(.status(.init(batchID: "b", status: .paused))))
    #expect(
      harness.say(harness.token(), .claim(maximum: 1))
        == .success(.claimed(.init(retryAfter: harness.core.limits.claimRetryPaused))))
    #expect(harness.report(["d0"]) == .success(.reported(.init(accepted: 1, repeated: 0, stop: false))))
    #expect(harness.ask(.resumeBatch(batchID: "b")) == .success(.status(.init(batchID: "b", status: .running))))
    #expect(harness.claim(1) == ["d1"])
  }

  @Test("A paused batch starts no tier, and is complete when nothing is left")
  func pausedBetweenTiers() {
    var harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())], documents: 1)
    harness.run()
    _ = harness.claim(1)
    _ = harness.ask(.pauseBatch(batchID: "b"))
    harness.report(["d0"])
    harness.end(.exited(0))
    #expect(harness.batch.tiers.map(\.status) == [.completed, .pending])
    #expect(harness.batch.status == .paused)
    _ = harness.ask(.resumeBatch(batchID: "b"))
    #expect(harness.batch.tiers.map(\.status) == [.completed, .running])
    #expect(harness.launches.count == 1)
    harness.run(1)
    _ = harness.claim(1, 1)
    _ = harness.ask(.pauseBatch(batchID: "b"))
    harness.report(["d0"], 1)
    harness.end(.exited(0), 1)
    #expect(harness.batch.status == .completed)
  }

  @Test("The same key with the same request answers the same, with another request it is refused")
  func idempotent() {
    var harness = Harness()
    let operation = Command.Operation.createBatch(batchID: "", specification(), documents: [])
    let first = harness.ask(operation, key: "k", fingerprint: 1)
    let second = harness.ask(operation, key: "k", fingerprint: 1)
    #expect(first == second && first.isSuccess)
    #expect(harness.core.batches.count == 1)
    #expect(harness.output.writes.isEmpty)
    guard case .failure(.aborted) = harness.ask(operation, key: "k", fingerprint: 2) else {
      Issue.record("the key was used twice")
      return
    }
    _ = harness.ask(operation, namespace: "other", key: "k", fingerprint: 2)
    #expect(harness.core.batches.count == 2)
  }

  @Test(
    "A key that is too long, or not of printable ASCII, is refused with the bound", arguments: ["k\n", "ключ", nil])
  func wrongKey(_ wrong: String?) {
    var harness = Harness()
    let key = wrong ?? String(repeating: "k", count: 129)
    guard case .failure(.invalid("idempotency_key", let rule)) = harness.ask(.pauseBatch(batchID: "b"), key: key) else {
      Issue.record("it was taken")
      return
    }
    #expect(rule.hasPrefix("must have at most 128 printable ASCII characters"))
  }

  @Test("The keys of one namespace make none of another forgotten, and one that is used again later counts anew")
  func keysOfOthers() {
    var limits = Limits()
    limits.idempotencyKeys = 3
    limits.idempotencyAge = .seconds(100)
    var harness = Harness(limits: limits)
    let operation = Command.Operation.createBatch(batchID: "", specification(), documents: [])
    _ = harness.ask(operation, namespace: "quiet", key: "mine")
    for number in 0..<50 {
      harness.advance(1)
      _ = harness.ask(operation, namespace: "loud", key: "k\(number)")
    }
    let before = harness.core.batches.count
    _ = harness.ask(operation, namespace: "quiet", key: "mine")
    _ = harness.ask(operation, namespace: "loud", key: "k49")
    #expect(harness.core.batches.count == before)
    // Forgotten for its number, asked again, and then remembered for its whole time.
    _ = harness.ask(operation, namespace: "loud", key: "k0")
    harness.tick(after: 99)
    _ = harness.ask(operation, namespace: "loud", key: "k0")
    #expect(harness.core.batches.count == before + 1)
    harness.tick(after: 1)
    _ = harness.ask(operation, namespace: "quiet", key: "mine")
    #expect(harness.core.batches.count == before + 2)
    #expect(harness.core.answers.count <= 4)
  }

  @Test("Keys are bounded in number and age, and survive a restart")
  func keysEnd() {
    var limits = Limits()
    limits.idempotencyKeys = 2
    limits.idempotencyAge = .seconds(10)
    var harness = Harness(limits: limits)
    let operation = Command.Operation.createBatch(batchID: "", specification(), documents: [])
    for key in ["a", "b", "c"] { _ = harness.ask(operation, key: key) }
    _ = harness.ask(operation, key: "a")
    #expect(harness.core.batches.count == 4)
    var restarted = Harness(seed: 2, limits: limits)
    restarted.now = harness.now
    for entry in harness.keys { restarted.core.restore(entry) }
    let again = restarted.ask(operation, key: "c")
    #expect(again == .success(harness.keys[2].reply!))
    #expect(restarted.core.batches.isEmpty)
    restarted.tick(after: 11)
    _ = restarted.ask(operation, key: "c")
    #expect(restarted.core.batches.count == 1)
  }
}

extension Result<Reply, Refusal>? {
  var isSuccess: Bool { if case .success = self { true } else { false } }
  var isPrecondition: Bool { if case .failure(.precondition) = self { true } else { false } }
}
