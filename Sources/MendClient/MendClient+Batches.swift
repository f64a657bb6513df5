public import MendAPI
internal import MendRPC

extension MendClient {
  /// Creates a batch in state CREATED. Documents beyond the size of one message are added by further calls, in order.
  /// An error among those leaves the batch CREATED with the documents added so far.
  public func createBatch(_ request: CreateBatchRequest) async throws(MendError) -> CreateBatchResponse {
    let change = Change(request.idempotencyKey)
    var first = request
    first.idempotencyKey = change.key
    let chunks = Self.chunks(of: request.documents, settings.limits)
    first.documents = chunks.first.map { Array($0) } ?? []
    let sent = first
    var response = try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).createBatch(sent, options: options)
    }
    for (index, chunk) in chunks.enumerated().dropFirst() {
      let added = try await addChunk(
        chunk, to: response.batchID, change.part(index))
      response.totalObjects = added.totalObjects
    }
    return response
  }

  /// Adds documents to a batch that is still CREATED, in as many calls as their size requires. Each call adds all of
  /// its documents or none. With an idempotency key, the same documents may be added again after a failure.
  public func addDocuments(_ request: AddDocumentsRequest) async throws(MendError) -> AddDocumentsResponse {
    let change = Change(request.idempotencyKey)
    var total = AddDocumentsResponse()
    total.batchID = request.batchID
    for (index, chunk) in Self.chunks(of: request.documents, settings.limits).enumerated() {
      let response = try await addChunk(chunk, to: request.batchID, change.part(index))
      total.added += response.added
      total.totalObjects = response.totalObjects
    }
    return total
  }

  private func addChunk(
    _ documents: ArraySlice<Document>, to batchID: String, _ change: Change
  ) async throws(MendError) -> AddDocumentsResponse {
    var request = AddDocumentsRequest()
    request.batchID = batchID
    request.idempotencyKey = change.key
    request.documents = Array(documents)
    let sent = request
    return try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).addDocuments(sent, options: options)
    }
  }

  /// Submits a CREATED batch to the scheduler.
  public func submitBatch(_ batchID: String, idempotencyKey: String = "") async throws(MendError) -> SubmitBatchResponse
  {
    var request = SubmitBatchRequest()
    request.batchID = batchID
    let change = Change(idempotencyKey)
    request.idempotencyKey = change.key
    let sent = request
    return try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).submitBatch(sent, options: options)
    }
  }

  /// Returns a batch's status: progress, timing, documents in pages, error summary.
  public func getBatch(_ request: GetBatchRequest) async throws(MendError) -> GetBatchResponse {
    try await call { channel, options throws(RPCError) in
      try await BatchesClient(channel).getBatch(request, options: options)
    }
  }

  /// Returns one page of the namespace's batches, newest first.
  public func listBatches(_ request: ListBatchesRequest) async throws(MendError) -> ListBatchesResponse {
    try await call { channel, options throws(RPCError) in
      try await BatchesClient(channel).listBatches(request, options: options)
    }
  }

  /// Says what is wrong with a batch, why, on what evidence, and what to do.
  public func diagnose(_ batchID: String) async throws(MendError) -> DiagnoseResponse {
    var request = DiagnoseRequest()
    request.batchID = batchID
    let sent = request
    return try await call { channel, options throws(RPCError) in
      try await BatchesClient(channel).diagnose(sent, options: options)
    }
  }

  /// Returns one page of a batch's history, in order.
  public func listEvents(_ request: ListEventsRequest) async throws(MendError) -> ListEventsResponse {
    try await call { channel, options throws(RPCError) in
      try await BatchesClient(channel).listEvents(request, options: options)
    }
  }

  /// Starts new attempts of what failed in a tier, with other resources if requested.
  public func retry(_ request: RetryRequest) async throws(MendError) -> RetryResponse {
    let change = Change(request.idempotencyKey)
    var keyed = request
    keyed.idempotencyKey = change.key
    let sent = keyed
    return try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).retry(sent, options: options)
    }
  }

  /// Plans repairs and, unless it is a dry run, applies them.
  public func heal(_ request: HealRequest) async throws(MendError) -> HealResponse {
    let change = Change(request.idempotencyKey)
    var keyed = request
    keyed.idempotencyKey = change.key
    let sent = keyed
    return try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).heal(sent, options: options)
    }
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
    let change = Change(idempotencyKey)
    let key = change.key
    let timeout = settings.limits.cancelTimeout + .seconds(max(0, min(grace ?? 10, 86_400)))
    return try await call(change.repetition, timeout: timeout) { channel, options throws(RPCError) in
      let client = BatchesClient(channel)
      switch target {
      case .batch:
        var request = CancelBatchRequest()
        request.batchID = batchID
        request.idempotencyKey = key
        request.graceSeconds = grace
        return try await client.cancelBatch(request, options: options)
      case .tier(let tier):
        var request = CancelTierRequest()
        request.batchID = batchID
        request.idempotencyKey = key
        request.tier = tier
        request.graceSeconds = grace
        return try await client.cancelTier(request, options: options)
      case .job(let job):
        var request = CancelJobRequest()
        request.batchID = batchID
        request.idempotencyKey = key
        request.jobID = job
        request.graceSeconds = grace
        return try await client.cancelJob(request, options: options)
      }
    }
  }

  /// Stops new claims; documents in process run to their end.
  public func pause(_ batchID: String, idempotencyKey: String = "") async throws(MendError) -> PauseBatchResponse {
    var request = PauseBatchRequest()
    request.batchID = batchID
    let change = Change(idempotencyKey)
    request.idempotencyKey = change.key
    let sent = request
    return try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).pauseBatch(sent, options: options)
    }
  }

  /// Ends a pause.
  public func resume(_ batchID: String, idempotencyKey: String = "") async throws(MendError) -> ResumeBatchResponse {
    var request = ResumeBatchRequest()
    request.batchID = batchID
    let change = Change(idempotencyKey)
    request.idempotencyKey = change.key
    let sent = request
    return try await call(change.repetition) { channel, options throws(RPCError) in
      try await BatchesClient(channel).resumeBatch(sent, options: options)
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

/// The idempotency key of one change: the caller's, or a random one of the client's.
private struct Change {
  let key: String
  private let isCallers: Bool

  init(_ given: String) {
    self.init(key: given.isEmpty ? MendClient.randomIdempotencyKey() : given, isCallers: !given.isEmpty)
  }

  private init(key: String, isCallers: Bool) {
    self.key = key
    self.isCallers = isCallers
  }

  var repetition: Repetition { .keyed(key, isCallers: isCallers) }

  /// One of the calls that make up a change. The first has the change's key.
  func part(_ index: Int) -> Change {
    guard index > 0 else { return self }
    return Change(key: MendClient.idempotencyKey("part-\(index)", after: key), isCallers: isCallers)
  }
}
