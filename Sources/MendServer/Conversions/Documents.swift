import MendAPI
import MendCore

extension DocumentDetail {
  /// - Parameter includeErrors: whether to include the error of a failed document.
  init(_ position: Int, of batch: Batch, includeErrors: Bool) {
    self.init()
    let document = batch.documents[position]
    jobID = document.id
    documentID = document.id
    filePath = FilePath.of(uri: document.uri)
    mediaType = document.mediaType
    let documentStatus = batch.documentStatus(position)
    status = MendAPI.DocumentStatus(documentStatus)
    progress = batch.documentProgress(position)
    let createdAt = batch.createdAt
    func time(_ offset: Int64?) -> GoogleTimestamp? { GoogleTimestamp(offset.map { createdAt + .milliseconds($0) }) }
    startedAt = time(batch.documentTimes.startedOffset(position))
    // Each tier settles the document again; it is completed when no tier will.
    if documentStatus == .completed || documentStatus == .failed {
      completedAt = time(batch.documentTimes.settledOffset(position))
    }
    if includeErrors, let (failure, job) = batch.documentError(position) {
      error = MendAPI.DocumentError(failure, position: position, job: job, of: batch)
    }
  }
}

extension DocumentDetail {
  /// An upper bound of the encoded size.
  var approximateBytes: Int {
    var bytes = 256 + filePath.utf8.count + mediaType.utf8.count + 2 * documentID.utf8.count
    if let error {
      bytes += 64 + error.code.utf8.count + error.message.utf8.count + error.extractorName.utf8.count
      bytes += error.details.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 16 }
    }
    return bytes
  }
}

extension MendAPI.DocumentError {
  init(_ failure: MendCore.DocumentError, position: Int, job: JobID, of batch: Batch) {
    self.init()
    code = failure.code.rawValue
    message = failure.message
    details = failure.details
    tierNum = Int32(clamping: job.tier)
    extractorName = batch.tiers[job]?.specified(in: batch)?.name ?? ""
    mendJobID = job.description
    attempt = Int32(clamping: failure.attempt)
    quarantined = failure.quarantined
    attemptsEnded = batch.tiers[job].map { Int32(clamping: $0.deaths[position]) } ?? 0
  }
}

extension MendAPI.ErrorSummary {
  init(_ summary: MendCore.ErrorSummary, of batch: Batch) {
    self.init()
    errorType = summary.errorType.rawValue
    count = Int64(summary.count)
    affectedFiles = summary.affected.map {
      DiagnosisDetail.cut(FilePath.of(uri: batch.documents.uri(at: $0)), to: Self.pathBytes)
    }
    resolution = summary.resolution
  }

  /// A longer path is cut here; the document has all of it.
  private static let pathBytes = 1 << 10
}

/// A document's location for people.
enum FilePath {
  /// The decoded path of a `file:` URI of this machine. Any other URI, or one whose path is not UTF-8, is returned
  /// unchanged.
  static func of(uri: String) -> String {
    FileURI.path(of: uri).flatMap { String(validating: $0, as: UTF8.self) } ?? uri
  }
}
