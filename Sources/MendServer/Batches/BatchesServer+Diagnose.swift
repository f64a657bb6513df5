import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime

extension BatchesServer {
  /// The handler that may wait: for batches that are not in memory, and for transports without an inline path.
  func diagnose(_ request: DiagnoseRequest, context: ServerContext) async throws(RPCError) -> DiagnoseResponse {
    let call = try gate.admit(context)
    try call.check(batchID: request.batchID)
    let view = try await view(of: request.batchID, call)
    return answer(view.batch, at: runtime.now())
  }

  /// The inline handler: answers on the connection's loop, from bytes that were made for this batch within this second
  /// if there are any. The request id is in errors only; as metadata it would cost as much as the rest.
  ///
  /// Declines a batch that is not in memory: it may be on the disk.
  func diagnoseInline(
    _ payload: RawSpan, _ context: ServerContext, into response: inout [UInt8]
  ) throws(RPCError) -> InlineOutcome {
    let call = try gate.admitInline(context)
    let request: DiagnoseRequest
    do throws(PayloadError) {
      request = try DiagnoseRequest.decode(payload: payload)
    } catch {
      throw call.invalid("request", error.message)
    }
    // An id that breaks the rule names no batch, so the rule need not be checked first.
    guard let view = runtime.view(of: call.key(request.batchID)) else { return .declined }
    let now = runtime.now()
    let second = now.milliseconds / 1000
    if view.kept.append(of: second, to: &response) { return .answered }
    let start = response.count
    encode(view.batch, at: now, into: &response)
    if response.count - start <= Self.keptBytesMaximum { view.kept.keep(Array(response[start...]), of: second) }
    return .answered
  }

  /// A larger answer (of a batch of hundreds of jobs) is made anew each time, so that many views don't hold much.
  static let keptBytesMaximum = 256 << 10

  private func answer(_ batch: Batch, at now: Instant) -> DiagnoseResponse {
    runtime.diagnosis(of: batch, at: now) { DiagnoseResponse.fitting(batch, $0, at: now, dashboard: dashboard) }
  }

  /// The encoded answer; an answer that fits is encoded only once.
  private func encode(_ batch: Batch, at now: Instant, into response: inout [UInt8]) {
    runtime.diagnosis(of: batch, at: now) { diagnosis in
      let start = response.count
      DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard).encodePayload(into: &response)
      for detail in DiagnosisDetail.less where response.count - start > DiagnosisDetail.limit {
        response.removeSubrange(start...)
        DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard, detail: detail)
          .encodePayload(into: &response)
      }
    }
  }
}

extension DiagnoseResponse {
  /// The answer with as much of each part as fits into a client's message limit.
  static func fitting(_ batch: Batch, _ diagnosis: Diagnosis, at now: Instant, dashboard: String) -> DiagnoseResponse {
    var answer = DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard)
    for detail in DiagnosisDetail.less where answer.serialized().count > DiagnosisDetail.limit {
      answer = DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard, detail: detail)
    }
    return answer
  }
}
