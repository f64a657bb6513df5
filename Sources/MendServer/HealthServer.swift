import MendAPI
import MendRPC

/// grpc.health.v1.Health: SERVING until the server announces its end, for the server (the empty name) and for each
/// service; never if every change is refused.
struct HealthServer: GRPCHealthService {
  let notice: Drain
  let drain: Drain
  let isOnlyLookedAt: Bool
  let requestIDs: RequestIDs
  let services: Set<String>

  init(
    notice: Drain, drain: Drain, isOnlyLookedAt: Bool = false, requestIDs: RequestIDs, services: [ServiceDescriptor]
  ) {
    self.notice = notice
    self.drain = drain
    self.isOnlyLookedAt = isOnlyLookedAt
    self.requestIDs = requestIDs
    self.services = Set(services.map(\.name)).union([""])
  }

  private var status: GRPCHealthCheckResponse.ServingStatus {
    notice.hasBegun || isOnlyLookedAt ? .notServing : .serving
  }

  func check(
    _ request: GRPCHealthCheckRequest, context: ServerContext
  ) async throws(RPCError) -> GRPCHealthCheckResponse {
    guard services.contains(request.service) else { throw call.notFound("service", request.service) }
    return response(status)
  }

  /// Ends at cancellation or when the server drains. Reports once, before that, that the server is about to drain.
  func watch(
    _ request: GRPCHealthCheckRequest, writer: ResponseWriter<GRPCHealthCheckResponse>, context: ServerContext
  ) async throws(RPCError) {
    guard services.contains(request.service) else {
      try await writer.write(response(.serviceUnknown))
      await drain.wait()
      throw stopping
    }
    let first = status
    try await writer.write(response(first))
    await notice.wait()
    if first == .serving, notice.hasBegun { try await writer.write(response(.notServing)) }
    await drain.wait()
    throw stopping
  }

  private var call: Call {
    Call(
      requestID: requestIDs.make(), method: GRPCHealth.Methods.check, namespace: MetadataName.defaultNamespace,
      actor: "caller")
  }

  private var stopping: RPCError {
    drain.hasBegun
      ? call.unavailable("the server is stopping", retryAfter: .seconds(1))
      : RPCError(.cancelled, "the watch was cancelled")
  }

  private func response(_ status: GRPCHealthCheckResponse.ServingStatus) -> GRPCHealthCheckResponse {
    var response = GRPCHealthCheckResponse()
    response.status = status
    return response
  }
}
