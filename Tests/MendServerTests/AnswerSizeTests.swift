import MendAPI
@testable import MendCore
import MendProtobuf
import Testing

@testable import MendServer

/// A stock client takes 4 MiB: no answer about one batch is larger.
@Suite("Sizes of answers", .timeLimit(.minutes(2)))
struct AnswerSizeTests {
  private static let now = Instant(milliseconds: 1_900_000_000_000)

  /// Every job has failed in so many attempts, each with a long last line, and its documents with long errors.
  private static func failed(tiers: Int, shards: Int, attempts: Int, command: Int, documents: Int) throws -> Batch? {
    let command = String(repeating: "c", count: command)
    let tier = MendCore.TierSpecification(extractors: [
      MendCore.ExtractorSpecification(name: "text", work: .documentCommand(command), shards: shards)
    ])
    let key = BatchKey(namespace: "default", batchID: "b")
    var facts: [Fact] = [
      .batchCreated(
        MendCore.BatchSpecification(executor: .local, tiers: Array(repeating: tier, count: tiers))),
      .documentsAdded(
        (0..<documents).map {
          MendCore.Document(id: "d\($0)", uri: "file:///" + String(repeating: "p", count: 6000) + "\($0)")
        }),
      .batchStatusChanged(.init(.running, reason: "")),
      .tierStarted(.init(tier: 0, handed: DocumentSet(all: documents))),
    ]
    let line = String(repeating: "e", count: 1000)
    for tier in 0..<tiers {
      for index in 0..<shards {
        let job = JobID(tier: tier, index: index)
        for number in 1...attempts {
          facts.append(
            .attemptIntended(
              .init(
                job.attempt(number), token: "t",
                SubmissionParameters(
                  extractorName: "text", work: .documentCommand(command), executor: .local, resources: Resources(),
                  priority: 50, environment: [:], runTimeout: nil))))
          let exit = MendCore.ExitRecord(termination: .exited(137), at: now, lastStderrLine: line)
          facts.append(
            .attemptEnded(.init(job.attempt(number), AttemptEnd(verdict: .failed(.oom, .low), at: now, exit: exit))))
        }
        facts.append(
          .jobStatusChanged(
            .init(job, .failed, failure: Job.Failure(cause: .oom, confidence: .low, message: line), reason: "")))
      }
    }
    let records = facts.enumerated().map {
      Record(batch: key, sequence: UInt64($0.offset + 1), at: now, cause: .caller, fact: $0.element)
    }
    return try Batch.folding(records)
  }

  private static func diagnose(_ batch: Batch) -> DiagnoseResponse {
    let capacity = MendCore.Capacity(executor: .local, cpus: 8, memoryBytes: 8 << 30)
    let diagnosis = batch.diagnosis(at: now, capacity: capacity, limits: Limits())
    return DiagnoseResponse.fitting(batch, diagnosis, at: now, dashboard: "")
  }

  @Test(
    "A diagnosis stays below 4 MiB, whatever its jobs, attempts and commands",
    arguments: [(1, 256, 2, 9000), (1, 128, 1, 60_000), (2, 32, 8, 60_000), (64, 16, 1, 20_000), (1, 1, 200, 60_000)])
  func diagnosis(_ tiers: Int, _ shards: Int, _ attempts: Int, _ command: Int) throws {
    let batch = try #require(
      try Self.failed(tiers: tiers, shards: shards, attempts: attempts, command: command, documents: 20))
    let answer = Self.diagnose(batch)
    #expect(answer.serialized().count < 4 << 20)
    #expect(!answer.findings.isEmpty && answer.tiers.count == tiers && !answer.nextActions.isEmpty)
    for tier in answer.tiers {
      #expect(!tier.jobs.isEmpty && tier.jobs.count + Int(tier.jobsLeftOut) == shards)
      #expect(command <= 16 << 10 || tier.submissionParams?.entrypoint.hasSuffix("…") == true)
      for job in tier.jobs { #expect(job.attempts.count + Int(job.attemptsLeftOut) == attempts) }
    }
    #expect(answer.infrastructureEvents.count <= 200)
    #expect(
      answer.infrastructureEvents.count + Int(answer.infrastructureEventsLeftOut) == tiers * shards * attempts)
  }

  @Test("A diagnosis that fits is whole")
  func whole() throws {
    let batch = try #require(try Self.failed(tiers: 1, shards: 4, attempts: 3, command: 200, documents: 20))
    let job = try #require(Self.diagnose(batch).tiers.first?.jobs.last)
    #expect(job.attempts.map(\.attempt) == [1, 2, 3] && job.attemptsLeftOut == 0)
    #expect(job.attempts.allSatisfy { $0.submissionParams?.entrypoint.utf8.count == 200 })
  }

  /// So many steps, each with so much evidence of so many bytes.
  private static func steps(_ count: Int, evidence: Int, bytes: Int) -> [MendCore.HealStep] {
    let text = String(repeating: "e", count: bytes)
    return (0..<count).map { number in
      MendCore.HealStep(
        operation: .reclaimOrphan(JobID(tier: 0, index: number), number: 1), reason: "it was lost",
        evidence: Array(repeating: MendCore.Evidence(text, by: .executor, at: now), count: evidence), risk: .low)
    }
  }

  @Test(
    "The steps of a heal stay below 4 MiB: with less evidence where that is enough, else the first of them",
    arguments: [(3, 4, 100, false), (600, 40, 2000, false), (40_000, 1, 100, true)])
  func steps(_ count: Int, _ evidence: Int, _ bytes: Int, _ isCut: Bool) {
    let steps = Self.steps(count, evidence: evidence, bytes: bytes)
    let (shown, leftOut) = MendAPI.HealStep.fitting(steps, bytes: DiagnosisDetail.limit)
    let answer = HealResponse { $0.steps = shown }
    #expect(answer.serialized().count < 4 << 20)
    #expect(shown.count + Int(leftOut ?? 0) == count && (leftOut != nil) == isCut)
    #expect(shown.first?.target == "t0-j0.1" && shown.allSatisfy { !$0.evidence.isEmpty })
    if count == 3 { #expect(shown == steps.map { MendAPI.HealStep($0) }) }
  }

  @Test("The event of a heal leaves room for its page")
  func healedEvent() throws {
    let batch = try #require(try Self.failed(tiers: 1, shards: 1, attempts: 1, command: 1, documents: 1))
    let heal = MendCore.HealRecord(
      action: .reclaimOrphans, generation: 1, steps: Self.steps(400, evidence: 20, bytes: 1000), at: Self.now)
    let record = Record(batch: batch.key, sequence: 100, at: Self.now, cause: .caller, fact: .healed(heal))
    let event = BatchEvent(record)
    #expect(event.steps.count == 400 && event.stepsLeftOut == nil && event.serialized().count < 2 << 20)
  }

  @Test(
    "The receipt of a cancel stays below 4 MiB", arguments: [(2, 30, false), (16_384, 30, false), (16_384, 5000, true)])
  func receipt(_ count: Int, _ how: Int, _ isCut: Bool) {
    let receipt = EndReceipt(processes: 1, how: String(repeating: "h", count: how))
    let ended = (0..<count).map { Reply.EndedAttempt(attempt: JobID(tier: 0, index: $0).attempt(1), receipt: receipt) }
    let (shown, leftOut) = EndedAttempt.fitting(ended, bytes: DiagnosisDetail.limit)
    let answer = CancelResponse { $0.ended = shown }
    #expect(answer.serialized().count < 4 << 20)
    #expect(shown.count + Int(leftOut ?? 0) == count && (leftOut != nil) == isCut)
  }

  @Test("A page of documents ends before it is too large, and the next one goes on there")
  func pages() async throws {
    try await Harness.run { harness in
      var request = Harness.creation("long", documents: 0)
      request.documents = (0..<600).map { number in
        var document = MendAPI.Document()
        document.documentID = "d\(number)"
        document.uri = "file:///" + String(repeating: "p", count: 6000) + "\(number)"
        return document
      }
      _ = try await harness.batches.createBatch(
        request, context: harness.context(Batches.Methods.createBatch))
      var seen: [String] = []
      var token = ""
      repeat {
        let answer = try await harness.getBatch("long") {
          $0.includeJobDetails = true
          $0.pageSize = 1000
          $0.pageToken = token
        }
        #expect(answer.serialized().count < 4 << 20 && !answer.jobDetails.isEmpty)
        seen += answer.jobDetails.map(\.documentID)
        token = answer.nextPageToken
      } while !token.isEmpty
      #expect(seen == (0..<600).map { "d\($0)" })
    }
  }
}
