internal import MendHTTP2

/// The load of a connection when a call begins.
struct ConnectionLoad {
  /// Handlers that wait or run.
  var runningCalls = 0
  /// Bytes of responses that the caller has not read.
  var unsentBytes = 0
  /// Bytes of requests and responses in memory.
  var heldBytes = 0
  /// Whether the whole server holds more than it may, and this connection has its part in that.
  var isOverBudget = false
}

extension ServerShared {
  /// Decides from a call's headers and its connection's load whether it may begin. Who calls is decided after that, by
  /// ``authorize``.
  func admit(_ head: RequestHead, _ block: HeaderBlock, _ load: ConnectionLoad) throws(RPCError) -> Route {
    guard let route = routes.route(block.bytes, head.path) else { throw routes.unknown(block.text(head.path)) }
    guard head.encoding != nil else {
      throw RPCError(
        .unimplemented,
        "grpc-encoding \(head.encodingName(block)) is not supported; \(MessageEncoding.accepted) are")
    }
    if let fault = head.fault(block) { throw fault }
    if let timeout = head.timeout, timeout <= 0 { throw RPCError(.deadlineExceeded, "the call's timeout is 0") }
    guard load.runningCalls < limits.maxRunningCalls else {
      throw .exhausted(
        .runningCalls,
        "\(limits.maxRunningCalls) calls of this connection are still running; wait for some to end")
    }
    guard load.unsentBytes <= limits.maxUnsentResponseBytes else {
      throw RPCError(
        .resourceExhausted,
        "\(load.unsentBytes) bytes of responses are unread on this connection; read them before calling again")
    }
    guard !load.isOverBudget else { throw overBudget(load.heldBytes) }
    return route
  }

  /// The refusal of a call whose headers are too large to be kept.
  func headersTooLarge(_ bytes: Int) -> RPCError {
    RPCError(
      .resourceExhausted,
      "the call's headers have \(bytes) bytes (name, value and 32 for each); at most \(limits.maxMetadataBytes) are taken"
    )
  }

  func tooMuchUnread(_ bytes: Int) -> RPCError {
    .exhausted(
      .bufferedRequestBytes,
      "\(bytes) bytes of requests wait on this connection; send fewer large requests at once")
  }

  func overBudget(_ heldBytes: Int) -> RPCError {
    .exhausted(
      .heldBytes,
      "the server holds \(limits.maxHeldBytes) bytes of calls, \(heldBytes) of them of this connection; "
        + "read its responses, end its calls, and call again")
  }
}
