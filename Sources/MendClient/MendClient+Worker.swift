public import MendAPI
internal import MendRPC

/// What a running job uses. Every call may be repeated; a token that is no longer the current attempt's is answered
/// with ABORTED, and whoever holds it is to end itself.
extension MendClient {
  /// Says that the attempt runs, and learns what it is to do.
  public func startAttempt(token: String) async throws(MendError) -> StartAttemptResponse {
    var request = StartAttemptRequest()
    request.attemptToken = token
    let sent = request
    return try await call { channel, options throws(RPCError) in
      try await WorkerClient(channel).startAttempt(sent, options: options)
    }
  }

  /// Takes documents that nobody has, at most `maximum`.
  ///
  /// `claimID` is the caller's own word for this claim: said again with it, it is answered the same documents. Without one
  /// a claim is made once: a repeated one would take further documents while the first answer's are lost to sight.
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

  /// Commits and fails documents, moves stages on, counts what was written, or just beats.
  public func report(_ request: ReportRequest) async throws(MendError) -> ReportResponse {
    try await call { channel, options throws(RPCError) in
      try await WorkerClient(channel).report(request, options: options)
    }
  }
}
