import MendAPI
import MendCore
import MendRPC
import MendRuntime

// GetBatch and ListBatches, answered from published views without the core.

extension BatchesServer {
  /// The version of the answers in their metadata; it changes only with their meaning.
  static let apiVersion = "1.0.0"
  static let documentsPerPage = (standard: 100, maximum: 1000)
  static let batchesPerPage = (standard: 50, maximum: 500)

  func getBatch(_ request: GetBatchRequest, context: ServerContext) async throws(RPCError) -> GetBatchResponse {
    let call = try gate.admit(context)
    try call.check(batchID: request.batchID)
    let fields = try call.checked { () throws(FieldViolation) in
      try StatusFields(mask: request.fields?.paths ?? [], metricsOnly: request.metricsOnly)
    }
    let pageSize = try call.pageSize(request.pageSize, Self.documentsPerPage)
    var start = 0
    if !request.pageToken.isEmpty {
      guard case .document(let batchID, let position)? = PageToken(request.pageToken), batchID == request.batchID else {
        throw call.invalid("page_token", Self.pageTokenRule)
      }
      start = position
    }
    let view = try await view(of: request.batchID, call)
    // The position comes from outside: a token is not signed.
    guard start <= view.batch.documents.count else { throw call.invalid("page_token", Self.pageTokenRule) }
    let now = runtime.now()
    var response = GetBatchResponse()
    fill(&response, view.batch, fields, includeErrors: request.includeErrors ?? true, call, at: now)
    // Naming the field asks for it like the flag does.
    if fields.contains(.jobDetails), request.includeJobDetails || fields.isNamed(.jobDetails) {
      page(&response, view.batch, from: start, pageSize, includeErrors: request.includeErrors ?? true)
    }
    return response
  }

  static let pageTokenRule = "is not a next_page_token of this call; start again without one"

  private func fill(
    _ response: inout GetBatchResponse, _ batch: Batch, _ fields: StatusFields, includeErrors: Bool, _ call: Call,
    at now: Instant
  ) {
    response.batchID = batch.key.batchID
    let report = runtime.health(of: batch, at: now)
    if fields.contains(.batchName) { response.batchName = batch.specification.batchName }
    if fields.contains(.status) { response.status = MendAPI.BatchStatus(batch.status) }
    if fields.contains(.progress) { response.progress = Progress(batch.progress()) }
    if fields.contains(.timing) { response.timing = Timing(batch, at: now, report: report) }
    if fields.contains(.errorSummary), includeErrors, batch.hasFailures {
      response.errorSummary = batch.errorSummary().map { MendAPI.ErrorSummary($0, of: batch) }
    }
    if fields.contains(.batchConfiguration) { response.batchConfiguration = BatchConfiguration(batch.specification) }
    if fields.contains(.metadata) {
      var metadata = ResponseMetadata()
      metadata.requestID = call.requestID.description
      metadata.apiVersion = Self.apiVersion
      metadata.cacheTtl = Self.cacheSeconds(batch.status)
      // Every answer is new, so the whole lifetime is left.
      metadata.cacheRemaining = metadata.cacheTtl
      response.metadata = metadata
    }
    if fields.contains(.hasFailures) { response.hasFailures = batch.hasFailures }
    if fields.contains(.health) {
      response.health = MendAPI.Health(report.health)
    }
    if fields.contains(.sequence) { response.sequence = batch.sequence }
  }

  /// How long a caller may cache the answer: a final batch changes only by Retry.
  private static func cacheSeconds(_ status: MendCore.BatchStatus) -> Int32 { status.isFinal ? 30 : 1 }

  /// The most bytes of a page; stock clients accept 4 MiB.
  static let documentBytesPerPage = 2 << 20

  private func page(
    _ response: inout GetBatchResponse, _ batch: Batch, from start: Int, _ size: Int, includeErrors: Bool
  ) {
    guard start < batch.documents.count else { return }
    let bound = start + min(size, batch.documents.count - start)
    var end = start
    var bytes = 0
    while end < bound {
      let detail = DocumentDetail(end, of: batch, includeErrors: includeErrors)
      bytes += detail.approximateBytes
      // The first document is sent whatever its size.
      if bytes > Self.documentBytesPerPage, end > start { break }
      response.jobDetails.append(detail)
      end += 1
    }
    if end < batch.documents.count {
      response.nextPageToken = PageToken.document(batchID: batch.key.batchID, position: end).text
    }
  }

  func listBatches(
    _ request: ListBatchesRequest, context: ServerContext
  ) async throws(RPCError) -> ListBatchesResponse {
    let call = try gate.admit(context)
    let status = try call.checked { () throws(FieldViolation) -> MendCore.BatchStatus? in
      try FieldRule.choice(request.status, "status")
    }
    if !request.bucketID.isEmpty, !Identifier.isValid(request.bucketID) {
      throw call.invalid("bucket_id", "Bucket ID must be alphanumeric with hyphens only, 1 to 64 characters")
    }
    let pageSize = try call.pageSize(request.pageSize, Self.batchesPerPage)
    var cursor: ListCursor?
    if !request.pageToken.isEmpty {
      guard case .batch(let place)? = PageToken(request.pageToken) else {
        throw call.invalid("page_token", Self.pageTokenRule)
      }
      cursor = place
    }
    var listings: [BatchListing]
    do throws(ReadError) {
      // One more than requested shows whether there is another page.
      listings = try await runtime.list(
        namespace: call.namespace, status: status, bucketID: request.bucketID.isEmpty ? nil : request.bucketID,
        before: cursor, limit: pageSize + 1)
    } catch {
      throw unreadable(call, error)
    }
    var response = ListBatchesResponse()
    if listings.count > pageSize {
      listings.removeLast(listings.count - pageSize)
      if let last = listings.last {
        let place = ListCursor(createdAt: last.createdAt, batchID: last.key.batchID)
        response.nextPageToken = PageToken.batch(place).text
      }
    }
    response.batches = listings.map { BatchListEntry($0) }
    return response
  }
}

/// The requested top-level fields of GetBatch's answer.
struct StatusFields: Hashable, Sendable {
  enum Field: String, CaseIterable, Sendable {
    case batchID = "batch_id"
    case batchName = "batch_name"
    case status, progress, timing
    case jobDetails = "job_details"
    case errorSummary = "error_summary"
    case batchConfiguration = "batch_configuration"
    case metadata
    case nextPageToken = "next_page_token"
    case hasFailures = "has_failures"
    case health, sequence
  }

  private let named: Set<Field>
  private let wanted: Set<Field>

  /// - Parameter mask: names as in the schema; empty means all.
  init(mask: [String], metricsOnly: Bool) throws(FieldViolation) {
    var named: Set<Field> = []
    for name in mask {
      guard let field = Field(rawValue: name) else {
        let known = Field.allCases.map(\.rawValue).joined(separator: ", ")
        throw FieldViolation("fields", "\(name.quotedShort) is not a field of the answer; the fields are: \(known)")
      }
      named.insert(field)
    }
    var wanted = named.isEmpty ? Set(Field.allCases) : named
    if metricsOnly { wanted.formIntersection([.progress, .timing, .metadata]) }
    self.named = named
    self.wanted = wanted
  }

  func contains(_ field: Field) -> Bool { wanted.contains(field) }
  func isNamed(_ field: Field) -> Bool { named.contains(field) }
}
