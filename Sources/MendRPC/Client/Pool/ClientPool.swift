public import NIOCore
internal import NIOPosix

/// Calls to one server over connections that are made when needed, and again when lost.
///
/// A call takes a place on a connection. If all are full another connection is made, up to
/// ``PoolConfiguration/maxConnections``; beyond that the call waits. While the server can't be reached,
/// ``PoolConfiguration/backoff`` delays the attempts to connect: a call then fails at once with the reason (UNAVAILABLE),
/// or waits until its timeout with ``CallOptions/waitForReady``. Each call makes an attempt if the backoff allows it,
/// so a pool is never dead after a pause or stuck in backoff.
///
/// Calls that the server certainly has not begun are sent again: those that never reached it or are above a GOAWAY's
/// last stream, and, once, a call whose stream it refused. Cancelling the task of a call ends it at once, whatever it
/// waits for, and resets its stream. Dropping the last reference closes the connections when their calls have ended.
public final class ClientPool: RPCChannel {
  /// The current state of a pool, and its counts so far.
  public struct Statistics: Hashable, Sendable {
    /// Connections that take calls.
    public var connections = 0
    public var openCalls = 0
    /// Calls that wait for a connection or for room on one.
    public var waitingCalls = 0
    public var connectionsMade = 0
    public var connectFailures = 0
    /// Calls that found ``PoolConfiguration/maxQueuedCalls`` others waiting.
    public var callsRefused = 0
    /// Calls sent again because the server had not begun them.
    public var transparentRetries = 0
    /// The ping interval of the next connection: longer than configured if the server complained about pings.
    public var keepaliveInterval: Duration?
  }

  public let address: ServerAddress
  public var configuration: PoolConfiguration { core.configuration }
  private let core: PoolCore
  private let template: CallTemplate

  /// Connects to nothing yet. Runs on `group`, or on event loops that the process shares.
  public init(
    _ address: ServerAddress, configuration: PoolConfiguration = PoolConfiguration(),
    on group: (any EventLoopGroup)? = nil
  ) {
    self.address = address
    core = PoolCore(address, configuration, group ?? MultiThreadedEventLoopGroup.singleton)
    template = CallTemplate(address, configuration.connection)
  }

  deinit {
    core.shutDown()
  }

  public var statistics: Statistics { core.statistics }

  /// Returns once a connection takes calls; makes one if there is none, whatever the backoff. Throws DEADLINE_EXCEEDED
  /// with the last reason if there is none within the time.
  public func waitUntilReady(within timeout: Duration? = nil) async throws(RPCError) {
    let deadline: NIODeadline? = timeout.map { .now() + TimeAmount($0) }
    try await core.place(PoolState.Patience(waitsForReady: true, deadline: deadline)).lease.end()
  }

  /// Lets the open calls end, fails those that wait with CANCELLED, and returns when the connections are closed. A call
  /// made later opens a new one.
  public func close() async { await core.close() }
}

// MARK: Calls

extension ClientPool {
  public func unary<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> O {
    let frame = try template.frame(request, options)
    let payload = try await send(method, options, frame) { call throws(RPCError) in try await call.response().get() }
    return try CallTemplate.decode(payload)
  }

  public func serverStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> ResponseStream<O> {
    let frame = try template.frame(request, options)
    let deadline = CallTemplate.deadline(options)
    let call = try await opened(method, options, frame, deadline)
    // Captures no reference to this pool: a stream may outlive it.
    let (core, template) = (core, template)
    return ResponseStream(call) { () async throws(RPCError) in
      try await Self.send(core, template, method, options, frame, deadline) { call throws(RPCError) in
        try await call.started()
        return call
      }
    }
  }

  public func clientStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> O {
    let call = try await opened(method, options, nil, CallTemplate.deadline(options))
    return try CallTemplate.decode(try await call.response(to: requests))
  }

  public func bidirectional<I: RPCMessage, O: RPCMessage, R>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void,
    responses: (ResponseStream<O>) async throws(RPCError) -> R
  ) async throws(RPCError) -> R {
    let call = try await opened(method, options, nil, CallTemplate.deadline(options))
    return try await call.responses(to: requests, responses)
  }

  private func opened(
    _ method: MethodDescriptor, _ options: CallOptions, _ frame: [UInt8]?, _ deadline: NIODeadline?
  ) async throws(RPCError) -> ClientCall {
    try await Self.send(core, template, method, options, frame, deadline) { call throws(RPCError) in
      try await call.started()
      return call
    }
  }

  private func send<R>(
    _ method: MethodDescriptor, _ options: CallOptions, _ frame: [UInt8]?,
    _ body: (ClientCall) async throws(RPCError) -> R
  ) async throws(RPCError) -> R {
    try await Self.send(core, template, method, options, frame, CallTemplate.deadline(options), body)
  }

  /// Makes the call, and again if the server certainly has not begun it.
  private static func send<R>(
    _ core: PoolCore, _ template: CallTemplate, _ method: MethodDescriptor, _ options: CallOptions, _ frame: [UInt8]?,
    _ deadline: NIODeadline?, _ body: (ClientCall) async throws(RPCError) -> R
  ) async throws(RPCError) -> R {
    let patience = PoolState.Patience(waitsForReady: options.waitForReady, deadline: deadline)
    // A call whose stream was refused is sent once more, counted over all attempts (gRPC's A6).
    var mayBeRefused = options.previousAttempts == 0
    var retries = 0
    while true {
      let place = try await core.place(patience)
      let call = template.call(
        over: place.handler, method, options, frame, deadline: deadline, lease: place.lease)
      do throws(RPCError) {
        return try await body(call)
      } catch {
        guard error.isSafeToRetry, error.origin != .local, !Task.isCancelled else { throw error }
        if error.isRefusedStream {
          guard mayBeRefused else { throw error }
          mayBeRefused = false
        }
        // A call that waits for the server keeps waiting; the backoff delays connections that serve nothing.
        retries += 1
        guard options.waitForReady || retries <= core.configuration.maxTransparentRetries else { throw error }
        core.countTransparentRetry()
      }
    }
  }
}
