import MendAPI
import MendCore
import MendProtobuf
import MendRPC

@testable import MendServer

extension ExtremeValueTests.Subject {
  /// A request that is taken, as bytes. What it makes is told from what earlier ones made by `number`.
  ///
  /// A call that is not here begins with an empty one.
  func request(_ method: MethodDescriptor, number: Int) async throws -> [UInt8] {
    switch method {
    case Batches.Methods.createBatch: return Self.creation(number).payload
    case Batches.Methods.addDocuments:
      try await create("added-\(number)")
      return Self.change("added-\(number)", "add-\(number)") { (request: inout AddDocumentsRequest) in
        request.documents = [Self.document(number)]
      }
    case Batches.Methods.submitBatch:
      try await create("submitted-\(number)")
      return Self.change("submitted-\(number)", "submit-\(number)") { (_: inout SubmitBatchRequest) in }
    case Batches.Methods.getBatch:
      return GetBatchRequest {
        $0.batchID = "main"
        $0.includeJobDetails = true
        $0.pageSize = 10
        $0.fields = GoogleFieldMask { $0.paths = ["status", "job_details", "timing", "next_page_token"] }
      }.payload
    case Batches.Methods.listBatches:
      return ListBatchesRequest {
        $0.status = .running
        $0.bucketID = "reports"
        $0.pageSize = 10
      }.payload
    case Batches.Methods.diagnose: return DiagnoseRequest { $0.batchID = "main" }.payload
    case Batches.Methods.retry:
      return Self.change("failed", "retry-\(number)") { (request: inout RetryRequest) in
        request.tier = 0
        request.jobs = ["t0-j0"]
        request.requiresGpu = false
        request.numCpus = 0.002
        request.memoryBytes = 1 << 20
        request.priority = 50
        request.runTimeoutSeconds = 60
        request.env = ["LANG": "C"]
        request.scope = .failed
      }
    case Batches.Methods.heal:
      return Self.change("main", "heal-\(number)") { (request: inout HealRequest) in
        request.tier = 0
        request.action = .auto
        request.dryRun = true
      }
    case Batches.Methods.cancelJob:
      return try await cancel(number) { (request: inout CancelJobRequest) in
        request.jobID = "t0-j0"
        request.graceSeconds = 1
      }
    case Batches.Methods.cancelTier:
      return try await cancel(number) { (request: inout CancelTierRequest) in
        request.tier = 0
        request.graceSeconds = 1
      }
    case Batches.Methods.cancelBatch:
      return try await cancel(number) { (request: inout CancelBatchRequest) in request.graceSeconds = 1 }
    case Batches.Methods.pauseBatch:
      return Self.change("pausable", "pause-\(number)") { (_: inout PauseBatchRequest) in }
    case Batches.Methods.resumeBatch:
      return Self.change("pausable", "resume-\(number)") { (_: inout ResumeBatchRequest) in }
    case Batches.Methods.watchProgress:
      return WatchProgressRequest {
        $0.batchID = "over"
        $0.minIntervalSeconds = 1
      }.payload
    case Batches.Methods.listEvents:
      return ListEventsRequest {
        $0.batchID = "main"
        $0.pageSize = 10
        $0.includeRecords = true
      }.payload
    case Batches.Methods.readLogs:
      return ReadLogsRequest {
        $0.batchID = "over"
        $0.jobID = "t0-j0"
        $0.attempt = 1
        $0.positions = [
          LogPosition {
            $0.jobID = "t0-j0"
            $0.attempt = 1
            $0.stream = .stdout
            $0.offset = 1
          }
        ]
      }.payload
    case Worker.Methods.startAttempt:
      let token = await mainToken()
      return StartAttemptRequest { $0.attemptToken = token }.payload
    case Worker.Methods.claimDocuments:
      let token = await mainToken()
      return ClaimDocumentsRequest {
        $0.attemptToken = token
        $0.maxDocuments = 1
        $0.claimID = "claim-\(number)"
      }.payload
    case Worker.Methods.report:
      let token = await mainToken()
      return Self.report(number, token).payload
    default: return []
    }
  }

  /// A request that changes a batch.
  private static func change<Request: ChangeRequest>(
    _ batchID: String, _ key: String, _ fill: (inout Request) -> Void
  ) -> [UInt8] {
    var request = Request()
    request.batchID = batchID
    request.idempotencyKey = key
    fill(&request)
    return request.payload
  }

  /// A cancel of something that runs.
  private func cancel<Request: ChangeRequest>(
    _ number: Int, _ fill: (inout Request) -> Void
  ) async throws -> [UInt8] {
    try await start("cancelled-\(number)")
    return Self.change("cancelled-\(number)", "cancel-\(number)", fill)
  }

  private static func document(_ number: Int) -> MendAPI.Document {
    MendAPI.Document {
      $0.documentID = "d\(number)"
      $0.uri = "file:///srv/d\(number).pdf"
      $0.mediaType = "document"
      $0.sizeBytes = 1000
    }
  }

  private static func creation(_ number: Int) -> CreateBatchRequest {
    let rule = MendAPI.RetryRule {
      $0.category = .infrastructure
      $0.cause = .oom
      $0.action = .retry
      $0.maxAttempts = 3
      $0.memoryFactor = 2
      $0.memoryCeilingBytes = 1 << 30
      $0.backoffSeconds = 1
      $0.backoffMaxSeconds = 60
    }
    let extractor = MendAPI.ExtractorSpecification {
      $0.extractorName = "text"
      $0.documentCommand = "true"
      $0.collectionID = "texts"
      $0.shards = 1
      $0.numCpus = 0.001
      $0.memoryBytes = 1 << 20
      $0.env = ["LANG": "C"]
      $0.timers = TimerSpecification {
        $0.startSeconds = 1200
        $0.heartbeatSeconds = 60
        $0.progressSeconds = 300
        $0.runSeconds = 3600
      }
      $0.retry = [rule]
      $0.limits = MendAPI.AttemptLimits {
        $0.cpuSeconds = 3600
        $0.openFiles = 1024
        $0.processes = 100
        $0.logBytes = 1 << 20
      }
    }
    return CreateBatchRequest {
      $0.batchID = "created-\(number)"
      $0.idempotencyKey = "create-\(number)"
      $0.batch = MendAPI.BatchSpecification {
        $0.bucketID = "reports"
        $0.batchName = "Monthly Reports"
        $0.priority = 50
        $0.maxConcurrent = 5
        $0.timeoutSeconds = 3600
        $0.tiers = [MendAPI.TierSpecification { $0.extractors = [extractor] }]
        $0.deploymentMode = .local
        $0.autoHeal = MendAPI.AutoHeal {
          $0.enabled = true
          $0.maxHeals = 3
          $0.memoryCeilingBytes = 1 << 30
          $0.maxRisk = .medium
        }
      }
      $0.documents = [document(number)]
    }
  }

  private static func report(_ number: Int, _ token: String) -> ReportRequest {
    ReportRequest {
      $0.attemptToken = token
      $0.completed = ["d\(number % 1000)"]
      $0.failed = [
        DocumentFailure {
          $0.documentID = "d\(1000 + number % 1000)"
          $0.code = "empty"
          $0.message = "no text"
          $0.details = ["pages": "3"]
        }
      ]
      $0.stage = "writing"
      $0.stageTimings = [
        StageTiming {
          $0.name = "loading"
          $0.durationSeconds = 1
        }
      ]
      $0.written = [
        CollectionWrite {
          $0.collectionID = "texts"
          $0.documentCount = 1
        }
      ]
      $0.released = ["d\(2000 + number % 1000)"]
    }
  }
}

/// What every request has that changes a batch.
private protocol ChangeRequest: RPCMessage {
  init()
  var batchID: String { get set }
  var idempotencyKey: String { get set }
}

extension AddDocumentsRequest: ChangeRequest {}
extension SubmitBatchRequest: ChangeRequest {}
extension RetryRequest: ChangeRequest {}
extension HealRequest: ChangeRequest {}
extension CancelJobRequest: ChangeRequest {}
extension CancelTierRequest: ChangeRequest {}
extension CancelBatchRequest: ChangeRequest {}
extension PauseBatchRequest: ChangeRequest {}
extension ResumeBatchRequest: ChangeRequest {}
