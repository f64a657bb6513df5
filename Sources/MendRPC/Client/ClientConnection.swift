internal import MendHTTP2
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// One HTTP/2 connection to a server, and all calls over it at once.
///
/// It never reconnects: once it is lost or the server sent GOAWAY, calls fail with UNAVAILABLE, and its owner makes
/// another; ``ClientPool`` does. Calls beyond what the server allows at once wait in a bounded queue.
/// Dropping the last reference closes it.
public final class ClientConnection: RPCChannel {
  /// The phases of a connection, in this order; some may be skipped.
  public enum Phase: Hashable, Sendable {
    case connecting
    case ready
    /// Open calls go on, new ones fail with this error.
    case draining(RPCError)
    /// Calls fail with this error.
    case closed(RPCError)
  }

  private struct State {
    var phase = Phase.connecting
    var observers: [@Sendable (RPCError) -> Void] = []
    /// The task that waits until the connection is ready or has failed.
    var starting: CheckedContinuation<Result<ClientHandler, RPCError>, Never>?
  }

  private final class Shared: Sendable {
    let state = Mutex(State())

    func received(_ event: ConnectionEvent, of handler: ClientHandler) {
      switch event {
      case .ready:
        enter(.ready)
        // Nobody waits for it, so nobody will use it.
        if !decide(.success(handler)) { handler.close() }
      case .maxCalls, .served, .silent, .heard: break
      case .draining(let error, _): enter(.draining(error))
      case .closed(let error):
        decide(.failure(error))
        for observer in enter(.closed(error)) { observer(error) }
      }
    }

    /// Returns whether somebody waited.
    @discardableResult
    func decide(_ result: Result<ClientHandler, RPCError>) -> Bool {
      let starting = state.withLock { state in
        defer { state.starting = nil }
        return state.starting
      }
      starting?.resume(returning: result)
      return starting != nil
    }

    var isAwaited: Bool { state.withLock { $0.starting != nil } }

    @discardableResult
    private func enter(_ phase: Phase) -> [@Sendable (RPCError) -> Void] {
      state.withLock { state in
        state.phase = phase
        defer { if case .closed = phase { state.observers = [] } }
        return state.observers
      }
    }
  }

  /// The server's address.
  public let address: ServerAddress
  private let handler: ClientHandler
  private let shared: Shared
  private let template: CallTemplate

  private init(_ handler: ClientHandler, _ shared: Shared) {
    self.handler = handler
    self.shared = shared
    address = handler.address
    template = CallTemplate(handler.address, handler.configuration)
  }

  deinit {
    handler.loop.execute { [handler] in handler.close() }
  }

  public var phase: Phase { shared.state.withLock { $0.phase } }

  /// Calls `body` once when the connection is closed, or at once if it is; on any thread. `body` must not wait.
  public func onClose(_ body: @escaping @Sendable (RPCError) -> Void) {
    let error: RPCError? = shared.state.withLock { state in
      if case .closed(let error) = state.phase { return error }
      state.observers.append(body)
      return nil
    }
    if let error { body(error) }
  }

  /// Takes no more calls, lets the open ones end, and returns when the connection is closed.
  public func close() async {
    await withCheckedContinuation { continuation in
      onClose { _ in continuation.resume() }
      handler.loop.execute { [handler] in
        handler.closeGracefully(RPCError(.cancelled, "the connection to \(handler.address) was closed by its owner"))
      }
    }
  }

  /// Connects, and waits until the server speaks HTTP/2. Throws UNAVAILABLE, with where and why, when it can't within
  /// ``ClientConfiguration/connectTimeout``, FAILED_PRECONDITION for a TLS file that can't be used, and CANCELLED when
  /// its task is cancelled.
  public static func connect(
    to address: ServerAddress, configuration: ClientConfiguration = ClientConfiguration(),
    on group: (any EventLoopGroup)? = nil
  ) async throws(RPCError) -> ClientConnection {
    let loop = (group ?? MultiThreadedEventLoopGroup.singleton).next()
    return try await open(Dialer(address: address, configuration: configuration).dial(on: loop))
  }

  /// Takes over a connected socket.
  static func adopt(_ descriptor: CInt, configuration: ClientConfiguration, on group: (any EventLoopGroup)?)
    async throws(RPCError) -> ClientConnection
  {
    let loop = (group ?? MultiThreadedEventLoopGroup.singleton).next()
    let dialer = Dialer(address: .unix(path: "in-process"), configuration: configuration)
    return try await open(dialer.dial(on: loop, over: descriptor))
  }

  private static func open(
    _ dialled: EventLoopFuture<ClientHandler>
  ) async throws(RPCError) -> ClientConnection {
    let shared = Shared()
    let cancelled = RPCError(.cancelled, "connecting was cancelled")
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        shared.state.withLock { $0.starting = continuation }
        // An earlier cancellation found nobody waiting.
        if Task.isCancelled { shared.decide(.failure(cancelled)) }
        dialled.whenComplete { result in
          switch result {
          case .success(let handler):
            guard shared.isAwaited else { return handler.close() }
            handler.attach { shared.received($0, of: handler) }
          case .failure(let error):
            shared.decide(.failure(error as? RPCError ?? RPCError(.internal, "\(error)")))
          }
        }
      }
    } onCancel: {
      shared.decide(.failure(cancelled))
    }
    return ClientConnection(try result.get(), shared)
  }
}

// MARK: Calls

extension ClientConnection {
  public func unary<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> O {
    let call = makeCall(method, options, try template.frame(request, options))
    return try CallTemplate.decode(try await call.response().get())
  }

  public func serverStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> ResponseStream<O> {
    let call = makeCall(method, options, try template.frame(request, options))
    try await call.started()
    return ResponseStream(call)
  }

  public func clientStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> O {
    let call = makeCall(method, options, nil)
    try await call.started()
    return try CallTemplate.decode(try await call.response(to: requests))
  }

  public func bidirectional<I: RPCMessage, O: RPCMessage, R>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void,
    responses: (ResponseStream<O>) async throws(RPCError) -> R
  ) async throws(RPCError) -> R {
    let call = makeCall(method, options, nil)
    try await call.started()
    return try await call.responses(to: requests, responses)
  }

  private func makeCall(_ method: MethodDescriptor, _ options: CallOptions, _ onlyRequest: [UInt8]?) -> ClientCall {
    template.call(over: handler, method, options, onlyRequest, deadline: CallTemplate.deadline(options), lease: nil)
  }
}
