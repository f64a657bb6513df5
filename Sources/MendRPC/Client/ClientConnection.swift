internal import MendHTTP2
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// One HTTP/2 connection to a server, and all calls over it at once.
///
/// It never reconnects: once it is lost or the server said goodbye, calls fail with UNAVAILABLE, and whoever owns the
/// connection makes another; ``ClientPool`` does. Calls beyond what the server allows at once wait in a bounded queue.
/// Dropping the last reference closes it.
public final class ClientConnection: RPCChannel {
  /// What becomes of a connection, in this order; phases may be passed over.
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
    var starting: CheckedContinuation<Void, Never>?
  }

  private final class Shared: Sendable {
    let state = Mutex(State())

    func received(_ event: ConnectionEvent) {
      switch event {
      case .ready: enter(.ready)
      case .maxCalls: break
      case .draining(let error, _): enter(.draining(error))
      case .closed(let error): enter(.closed(error))
      }
    }

    private func enter(_ phase: Phase) {
      let (starting, observers) = state.withLock { state in
        state.phase = phase
        defer {
          state.starting = nil
          if case .closed = phase { state.observers = [] }
        }
        return (state.starting, state.observers)
      }
      starting?.resume()
      if case .closed(let error) = phase { for observer in observers { observer(error) } }
    }
  }

  /// Where it leads.
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

  /// Calls `body` once when the connection is closed, at once if it is; on any thread, and it must not wait.
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
    return try await open(loop, Dialer(address: address, configuration: configuration).dial(on: loop))
  }

  /// Over a socket that is connected already and becomes the connection's.
  static func adopt(_ descriptor: CInt, configuration: ClientConfiguration, on group: (any EventLoopGroup)?)
    async throws(RPCError) -> ClientConnection
  {
    let loop = (group ?? MultiThreadedEventLoopGroup.singleton).next()
    let dialer = Dialer(address: .unix(path: "in-process"), configuration: configuration)
    return try await open(loop, dialer.dial(on: loop, over: descriptor))
  }

  private static func open(
    _ loop: any EventLoop, _ dialled: EventLoopFuture<ClientHandler>
  ) async throws(RPCError) -> ClientConnection {
    let shared = Shared()
    let handler: ClientHandler
    do {
      handler = try await dialled.get()
    } catch let error as RPCError {
      throw error
    } catch {
      throw RPCError(.internal, "\(error)")
    }
    let connection = ClientConnection(handler, shared)
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        shared.state.withLock { $0.starting = continuation }
        loop.execute { handler.attach { shared.received($0) } }
      }
    } onCancel: {
      loop.execute { handler.close() }
    }
    if Task.isCancelled { throw RPCError(.cancelled, "connecting to \(handler.address) was cancelled") }
    switch connection.phase {
    case .closed(let error), .draining(let error): throw error
    case .connecting, .ready: return connection
    }
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
    call.startRequests(requests)
    return try CallTemplate.decode(try await call.response().get())
  }

  public func bidirectional<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> ResponseStream<O> {
    let call = makeCall(method, options, nil)
    try await call.started()
    call.startRequests(requests)
    return ResponseStream(call)
  }

  private func makeCall(_ method: MethodDescriptor, _ options: CallOptions, _ onlyRequest: [UInt8]?) -> ClientCall {
    template.call(over: handler, method, options, onlyRequest, deadline: CallTemplate.deadline(options), lease: nil)
  }
}
