internal import NIOCore
internal import Synchronization

/// The options of one call.
public struct CallOptions: Sendable {
  public var metadata: Metadata = [:]
  /// The call fails with DEADLINE_EXCEEDED after this time, or at ``CallDeadline/current`` if that is sooner; the
  /// server is told of it.
  public var timeout: Duration?
  /// One response message; above the channel's own limit where it is set.
  public var maxResponseBytes: Int?
  /// How this call's requests are compressed; nil for the channel's setting.
  public var compression: CompressionPolicy?
  /// Wait for an unreachable server until the call's timeout instead of failing. For channels that make connections
  /// (``ClientPool``).
  public var waitForReady = false
  /// Sent as `grpc-previous-rpc-attempts` when it is above 0 (gRPC's A6): which try of the same call this is.
  public var previousAttempts = 0
  /// Called once with the response's initial and trailing metadata, before the call ends; also when it fails.
  /// A pool tells it each time that it sends the call.
  public var onMetadata: (@Sendable (_ initial: Metadata, _ trailing: Metadata) -> Void)?

  public init() {}
}

/// Carries calls to a server.
///
/// Every call throws the status it ended with. Cancelling the task that waits for a call cancels the call at the
/// server; it then throws CANCELLED.
public protocol RPCChannel: Sendable {
  func unary<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> O

  /// Returns once the call is on its way; errors of the server surface in the stream.
  func serverStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> ResponseStream<O>

  /// The request stream ends when `requests` returns. What it throws cancels the call and is thrown. It runs in a child
  /// task, which is cancelled when the call has ended, and waited for.
  func clientStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> O

  /// Streams requests as ``clientStreaming(_:options:requests:)`` does, and responses. When `responses` has returned,
  /// `requests` is cancelled, and so is the call if it has not ended.
  func bidirectional<I: RPCMessage, O: RPCMessage, R>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void,
    responses: (ResponseStream<O>) async throws(RPCError) -> R
  ) async throws(RPCError) -> R
}

/// The responses of a call that streams them: one consumer, once.
///
/// Ends normally only if the server ended the call with OK; throws the status otherwise. Flow control holds the server
/// back while nothing is read. Dropping the stream and its iterator, or cancelling the task that reads it, resets the
/// call.
public struct ResponseStream<Message: RPCMessage>: AsyncSequence, Sendable {
  public typealias Failure = RPCError
  private let lifetime: ResponseLifetime

  /// `reopen` makes the call once more if the server has certainly not begun it.
  init(_ call: ClientCall, reopen: (@Sendable () async throws(RPCError) -> ClientCall)? = nil) {
    lifetime = ResponseLifetime(call, reopen)
  }

  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(lifetime: lifetime)
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    let lifetime: ResponseLifetime
    /// Payloads that arrived together: one visit to the connection's loop for all of them.
    private var mayReopen = true
    private var arrived: [ReceivedPayload] = []

    init(lifetime: ResponseLifetime) {
      self.lifetime = lifetime
    }

    public mutating func next() async throws(RPCError) -> Message? {
      try await next(isolation: nil)
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(RPCError) -> Message? {
      while arrived.isEmpty {
        let call = lifetime.call
        switch await call.nextPayloads() {
        case .success(.payloads(let payloads)):
          arrived = payloads.reversed()
          mayReopen = false
        case .success(.end): return nil
        case .success(.wait): try await call.waitForResponse()
        case .failure(let error):
          guard mayReopen, error.isSafeToRetry, error.origin != .local, let reopen = lifetime.reopen else {
            throw error
          }
          // Once: `reopen` itself tries until the call is sent.
          mayReopen = false
          lifetime.replace(by: try await reopen())
        }
      }
      guard let payload = arrived.popLast() else { return nil }
      let failure: RPCError
      do throws(RPCError) {
        let bytes = try payload.plain("a response message")
        do throws(PayloadError) {
          return try Message.decode(payload: bytes.span.bytes)
        } catch {
          failure = RPCError(.internal, "a response is not a \(Message.self): \(error.message)")
        }
      } catch {
        failure = error
      }
      lifetime.call.cancel(failure)
      throw failure
    }
  }
}

/// Resets the call once nobody can read its responses.
final class ResponseLifetime: Sendable {
  let reopen: (@Sendable () async throws(RPCError) -> ClientCall)?
  private let current: Mutex<ClientCall>

  init(_ call: ClientCall, _ reopen: (@Sendable () async throws(RPCError) -> ClientCall)?) {
    current = Mutex(call)
    self.reopen = reopen
  }

  var call: ClientCall { current.withLock { $0 } }

  func replace(by call: ClientCall) { current.withLock { $0 = call } }

  deinit {
    call.cancel(RPCError(.cancelled, "the response stream was dropped"))
  }
}

/// Writes the requests of a call that streams them.
public struct RequestWriter<Message: RPCMessage>: Sendable {
  let call: ClientCall

  /// Sends one message, after those before it; suspends while too much waits to be sent. Throws how the call ended when
  /// it has: a server may answer before it has read everything. With `compressed` false the message is sent as it is,
  /// also where the call's others are compressed.
  public func write(_ message: Message, compressed: Bool = true) async throws(RPCError) {
    var frame: [UInt8] = []
    MessageFraming.append(to: &frame, as: compressed ? call.requestPolicy : .none) { message.encodePayload(into: &$0) }
    try CallTemplate.check(frame, call.connection.configuration.limits)
    if try await call.write(frame).get() { return }
    try await call.waitUntilDrained()
  }
}
