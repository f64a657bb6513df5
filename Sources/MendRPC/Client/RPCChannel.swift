internal import NIOCore

/// What a caller may say about one call.
public struct CallOptions: Sendable {
  public var metadata: Metadata = [:]
  /// The call fails with DEADLINE_EXCEEDED after this time; the server is told of it.
  public var timeout: Duration?
  /// One response message; above the channel's own limit where it is set.
  public var maxResponseBytes: Int?
  /// Wait for a connection instead of failing at once. Up to channels that make connections.
  public var waitForReady = false
  /// Told the response's metadata, initial and trailing, once and before the call ends; also when it fails.
  public var onMetadata: (@Sendable (_ initial: Metadata, _ trailing: Metadata) -> Void)?

  public init() {}
}

/// What carries calls to a server.
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

  /// The request stream ends when `requests` returns. What it throws cancels the call and is thrown.
  func clientStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> O

  /// `requests` runs in a task of the call, which is cancelled when the call ends.
  func bidirectional<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> ResponseStream<O>
}

/// The responses of a call that streams them: one consumer, once.
///
/// Ends normally only when the server ended the call with OK; throws the status otherwise. What is not read holds the
/// server back by flow control. Dropping the stream and its iterator, or cancelling the task that reads it, resets the
/// call.
public struct ResponseStream<Message: RPCMessage>: AsyncSequence, Sendable {
  public typealias Failure = RPCError
  private let lifetime: ResponseLifetime

  init(_ call: ClientCall) {
    lifetime = ResponseLifetime(call)
  }

  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(lifetime: lifetime)
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    let lifetime: ResponseLifetime
    /// Payloads that arrived together: one visit to the connection's loop for all of them.
    private var arrived: [[UInt8]] = []

    init(lifetime: ResponseLifetime) {
      self.lifetime = lifetime
    }

    public mutating func next() async throws(RPCError) -> Message? {
      try await next(isolation: nil)
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(RPCError) -> Message? {
      let call = lifetime.call
      while arrived.isEmpty {
        switch try await call.nextPayloads().get() {
        case .payloads(let payloads): arrived = payloads.reversed()
        case .end: return nil
        case .wait: try await call.waitForResponse()
        }
      }
      guard let payload = arrived.popLast() else { return nil }
      do {
        return try Message.decode(payload: payload.span.bytes)
      } catch {
        let failure = RPCError(.internal, "a response is not a \(Message.self): \(error.message)")
        call.cancel(failure)
        throw failure
      }
    }
  }
}

/// Resets the call when nobody can read its responses any more.
final class ResponseLifetime: Sendable {
  let call: ClientCall

  init(_ call: ClientCall) {
    self.call = call
  }

  deinit {
    call.cancel(RPCError(.cancelled, "the response stream was dropped"))
  }
}

/// Where a caller writes the requests of a call that streams them.
public struct RequestWriter<Message: RPCMessage>: Sendable {
  let call: ClientCall

  /// Sends one message, after those before it; suspends while too much waits to be sent. Throws how the call ended when
  /// it has: a server may answer before it has read everything.
  public func write(_ message: Message) async throws(RPCError) {
    var frame: [UInt8] = []
    MessageFraming.append(to: &frame) { message.encodePayload(into: &$0) }
    if try await call.write(frame).get() { return }
    try await call.waitUntilDrained()
  }
}
