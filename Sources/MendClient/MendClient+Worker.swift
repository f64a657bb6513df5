public import MendAPI
internal import MendRPC

/// The calls of a running attempt. All of them may be repeated. A token that is no longer the current attempt's is
/// answered with ABORTED, and its holder must end itself.
extension MendClient {
  /// Reports that the attempt runs; returns what it is to do.
  public func startAttempt(token: String) async throws(MendError) -> StartAttemptResponse {
    var request = StartAttemptRequest()
    request.attemptToken = token
    let sent = request
    return try await call { channel, options throws(RPCError) in
      try await WorkerClient(channel).startAttempt(sent, options: options)
    }
  }

  /// Claims documents that nobody has, at most `maximum`.
  ///
  /// `claimID` is the caller's own name for this claim: a repeated claim with the same name returns the same documents.
  /// Without one the claim is not repeated, because a repeat would take further documents.
  public func claimDocuments(
    token: String, maximum: Int32, claimID: String = ""
  ) async throws(MendError) -> ClaimDocumentsResponse {
    var request = ClaimDocumentsRequest()
    request.attemptToken = token
    request.maxDocuments = maximum
    request.claimID = claimID
    let sent = request
    return try await call(claimID.isEmpty ? .never : .safe) { channel, options throws(RPCError) in
      try await WorkerClient(channel).claimDocuments(sent, options: options)
    }
  }

  /// Commits and fails documents, advances stages, counts what was written, or only sends a heartbeat.
  public func report(_ request: ReportRequest) async throws(MendError) -> ReportResponse {
    try await call { channel, options throws(RPCError) in
      try await WorkerClient(channel).report(request, options: options)
    }
  }
}
