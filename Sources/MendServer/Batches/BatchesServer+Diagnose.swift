import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime

extension BatchesServer {
  /// The call as a handler that may wait: for batches that are not in memory, and transports without an inline path.
  func diagnose(_ request: DiagnoseRequest, context: ServerContext) async throws(RPCError) -> DiagnoseResponse {
    let call = try gate.admit(context, "diagnose")
    try call.check(batchID: request.batchID)
    let view = try await view(of: request.batchID, call)
    return answer(view.batch, at: runtime.now())
  }

  /// The call as it is served: on the connection's loop, from bytes that were made for this batch in this second where
  /// there are any. The request id stands in errors only; as metadata it would cost as much as the rest.
  ///
  /// Declines what is not in memory: that may be on the disk.
  func diagnoseInline(
    _ payload: RawSpan, _ context: ServerContext, into response: inout [UInt8]
  ) throws(RPCError) -> InlineOutcome {
    let call = try gate.admitInline(context, "diagnose")
    let request: DiagnoseRequest
    do throws(PayloadError) {
      request = try DiagnoseRequest.decode(payload: payload)
    } catch {
      throw call.invalid("request", error.message)
    }
    // No batch is named by an id that breaks the rule, so the rule need not be asked before.
    guard let view = runtime.view(of: call.key(request.batchID)) else { return .declined }
    let now = runtime.now()
    let second = now.milliseconds / 1000
    if view.appendKeptAnswer(of: second, to: &response) { return .answered }
    let start = response.count
    encode(view.batch, at: now, into: &response)
    view.keepAnswer(Array(response[start...]), of: second)
    return .answered
  }

  private func answer(_ batch: Batch, at now: Instant) -> DiagnoseResponse {
    DiagnoseResponse.fitting(batch, runtime.diagnosis(of: batch, at: now), at: now, dashboard: dashboard)
  }

  /// The same, as bytes: what fits is encoded once.
  private func encode(_ batch: Batch, at now: Instant, into response: inout [UInt8]) {
    let diagnosis = runtime.diagnosis(of: batch, at: now)
    let start = response.count
    DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard).encodePayload(into: &response)
    for detail in DiagnosisDetail.less where response.count - start > DiagnosisDetail.limit {
      response.removeSubrange(start...)
      DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard, detail: detail)
        .encodePayload(into: &response)
    }
  }
}

extension DiagnoseResponse {
  /// With as much of each part as makes it small enough for any client.
  static func fitting(_ batch: Batch, _ diagnosis: Diagnosis, at now: Instant, dashboard: String) -> DiagnoseResponse {
    var answer = DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard)
    for detail in DiagnosisDetail.less where answer.serialized().count > DiagnosisDetail.limit {
      answer = DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard, detail: detail)
    }
    return answer
  }
}
