public import MendAPI
internal import MendRPC

extension MendClient {
  /// Creates a batch in state CREATED. Documents beyond the size of one message are added by further calls, in order.
  /// An error among those leaves the batch CREATED with the documents added so far.
  public func createBatch(_ request: CreateBatchRequest) async throws(MendError) -> CreateBatchResponse {
    let key = Key(request.idempotencyKey)
    var first = request
    let chunks = Self.chunks(of: request.documents, settings.limits)
    first.documents = chunks.first.map { Array($0) } ?? []
    var response = try await change(first, key, BatchesClient.createBatch)
    for (index, chunk) in chunks.enumerated().dropFirst() {
      response.totalObjects = try await add(chunk, to: response.batchID, key.part(index)).totalObjects
    }
    return response
  }

  /// Adds documents to a batch that is still CREATED, in as many calls as their size requires. Each call adds all of
  /// its documents or none. With an idempotency key, the same documents may be added again after a failure.
  public func addDocuments(_ request: AddDocumentsRequest) async throws(MendError) -> AddDocumentsResponse {
    let key = Key(request.idempotencyKey)
    var total = AddDocumentsResponse()
    total.batchID = request.batchID
    for (index, chunk) in Self.chunks(of: request.documents, settings.limits).enumerated() {
      let response = try await add(chunk, to: request.batchID, key.part(index))
      total.added += response.added
      total.totalObjects = response.totalObjects
    }
    return total
  }

  private func add(
    _ documents: ArraySlice<Document>, to batchID: String, _ key: Key
  ) async throws(MendError) -> AddDocumentsResponse {
    var request = AddDocumentsRequest(batchID)
    request.documents = Array(documents)
    return try await change(request, key, BatchesClient.addDocuments)
  }

  /// Submits a CREATED batch to the scheduler.
  public func submitBatch(_ batchID: String, idempotencyKey: String = "") async throws(MendError) -> SubmitBatchResponse
  {
    try await change(SubmitBatchRequest(batchID), Key(idempotencyKey), BatchesClient.submitBatch)
  }

  /// Returns a batch's status: progress, timing, documents in pages, error summary.
  public func getBatch(_ request: GetBatchRequest) async throws(MendError) -> GetBatchResponse {
    try await read(request, BatchesClient.getBatch)
  }

  /// Returns one page of the namespace's batches, newest first.
  public func listBatches(_ request: ListBatchesRequest) async throws(MendError) -> ListBatchesResponse {
    try await read(request, BatchesClient.listBatches)
  }

  /// Says what is wrong with a batch, why, on what evidence, and what to do.
  public func diagnose(_ batchID: String) async throws(MendError) -> DiagnoseResponse {
    var request = DiagnoseRequest()
    request.batchID = batchID
    return try await read(request, BatchesClient.diagnose)
  }

  /// Returns one page of a batch's history, in order.
  public func listEvents(_ request: ListEventsRequest) async throws(MendError) -> ListEventsResponse {
    try await read(request, BatchesClient.listEvents)
  }

  /// Starts new attempts of what failed in a tier, with other resources if requested.
  public func retry(_ request: RetryRequest) async throws(MendError) -> RetryResponse {
    try await change(request, Key(request.idempotencyKey), BatchesClient.retry)
  }

  /// Plans repairs and, unless it is a dry run, applies them.
  public func heal(_ request: HealRequest) async throws(MendError) -> HealResponse {
    try await change(request, Key(request.idempotencyKey), BatchesClient.heal)
  }

  /// The scope of a cancel.
  public enum CancelTarget: Sendable, Hashable {
    case batch
    case tier(Int32)
    /// A job's id, such as `t0-j1`.
    case job(String)
  }

  /// Ends a batch, a tier or a job; returns when all of its processes are proven gone. Cancelling the task stops the
  /// wait, not the cancel.
  ///
  /// - Parameter grace: seconds between SIGTERM and SIGKILL; nil uses the server's default, 10.
  public func cancel(
    _ batchID: String, _ target: CancelTarget = .batch, grace: Double? = nil, idempotencyKey: String = ""
  ) async throws(MendError) -> CancelResponse {
    let key = Key(idempotencyKey)
    let timeout = settings.limits.cancelTimeout + .seconds(max(0, min(grace ?? 10, 86_400)))
    switch target {
    case .batch:
      var request = CancelBatchRequest(batchID)
      request.graceSeconds = grace
      return try await change(request, key, timeout: timeout, BatchesClient.cancelBatch)
    case .tier(let tier):
      var request = CancelTierRequest(batchID)
      request.tier = tier
      request.graceSeconds = grace
      return try await change(request, key, timeout: timeout, BatchesClient.cancelTier)
    case .job(let job):
      var request = CancelJobRequest(batchID)
      request.jobID = job
      request.graceSeconds = grace
      return try await change(request, key, timeout: timeout, BatchesClient.cancelJob)
    }
  }

  /// Stops new claims; documents in process run to their end.
  public func pause(_ batchID: String, idempotencyKey: String = "") async throws(MendError) -> PauseBatchResponse {
    try await change(PauseBatchRequest(batchID), Key(idempotencyKey), BatchesClient.pauseBatch)
  }

  /// Ends a pause.
  public func resume(_ batchID: String, idempotencyKey: String = "") async throws(MendError) -> ResumeBatchResponse {
    try await change(ResumeBatchRequest(batchID), Key(idempotencyKey), BatchesClient.resumeBatch)
  }

  private typealias Method<Request, Response> =
    @Sendable (BatchesClient) -> @Sendable (Request, CallOptions) async throws(RPCError) -> Response

  private func read<Request: Sendable, Response: Sendable>(
    _ request: Request, _ method: Method<Request, Response>
  ) async throws(MendError) -> Response {
    try await call { channel, options throws(RPCError) in try await method(BatchesClient(channel))(request, options) }
  }

  private func change<Request: ChangeRequest, Response: Sendable>(
    _ request: Request, _ key: Key, timeout: Duration? = nil, _ method: Method<Request, Response>
  ) async throws(MendError) -> Response {
    var keyed = request
    keyed.idempotencyKey = key.text
    let sent = keyed
    return try await call(.keyed(key.text, isCallers: key.isCallers), timeout: timeout) {
      channel, options throws(RPCError) in try await method(BatchesClient(channel))(sent, options)
    }
  }

  /// Splits documents into runs that each fit into one message.
  static func chunks(of documents: [Document], _ limits: MendClient.Limits) -> [ArraySlice<Document>] {
    var chunks: [ArraySlice<Document>] = []
    var start = 0
    var bytes = 0
    for (index, document) in documents.enumerated() {
      // An upper bound of the encoded size: the texts, and room for tags, lengths and the size.
      let size = document.documentID.utf8.count + document.uri.utf8.count + document.mediaType.utf8.count + 40
      if index > start, bytes + size > limits.documentBytesPerCall || index - start >= limits.documentsPerCall {
        chunks.append(documents[start..<index])
        start = index
        bytes = 0
      }
      bytes += size
    }
    if start < documents.count { chunks.append(documents[start...]) }
    return chunks
  }
}

/// A request that changes a batch.
private protocol ChangeRequest: Sendable {
  var batchID: String { get set }
  var idempotencyKey: String { get set }
  init()
}

extension ChangeRequest {
  fileprivate init(_ batchID: String) {
    self.init()
    self.batchID = batchID
  }
}

extension CreateBatchRequest: ChangeRequest {}
extension AddDocumentsRequest: ChangeRequest {}
extension SubmitBatchRequest: ChangeRequest {}
extension RetryRequest: ChangeRequest {}
extension HealRequest: ChangeRequest {}
extension CancelJobRequest: ChangeRequest {}
extension CancelTierRequest: ChangeRequest {}
extension CancelBatchRequest: ChangeRequest {}
extension PauseBatchRequest: ChangeRequest {}
extension ResumeBatchRequest: ChangeRequest {}

/// The idempotency key of one change: the caller's, or a random one of the client's.
private struct Key {
  var text: String
  var isCallers: Bool

  init(_ given: String) {
    text = given.isEmpty ? MendClient.randomIdempotencyKey() : given
    isCallers = !given.isEmpty
  }

  /// The key of one of the calls that make up a change. The first has the change's key.
  func part(_ index: Int) -> Key {
    guard index > 0 else { return self }
    var part = self
    part.text = MendClient.idempotencyKey("part-\(index)", after: text)
    return part
  }
}
