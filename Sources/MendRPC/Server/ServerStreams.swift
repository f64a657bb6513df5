internal import NIOCore

/// Writes a handler's responses.
public struct ResponseWriter<Message: RPCMessage>: Sendable {
  let call: ServerCall

  /// Sends one message, after those before it.
  ///
  /// Returns without suspending while less than the high-water mark waits to be sent; above it suspends until the
  /// caller has read enough. Messages written close together share frames and packets. Throws CANCELLED when the call
  /// is over: the caller left, its deadline passed, or the connection is lost. With `compressed` false the message is
  /// sent as it is, also where the call's others are compressed.
  public func write(_ message: Message, compressed: Bool = true) async throws(RPCError) {
    guard call.loop.inEventLoop else { return try await writeFromElsewhere(message, compressed) }
    if try call.write(message, compressed: compressed) { return }
    try await call.waitUntilDrained()
  }

  private func writeFromElsewhere(_ message: Message, _ compressed: Bool) async throws(RPCError) {
    var payload: [UInt8] = []
    message.encodePayload(into: &payload)
    let raw = RawMessage(payload)
    let result: Result<Bool, RPCError> = await call.loop.hop { [call] in
      do throws(RPCError) {
        return .success(try call.write(raw, compressed: compressed))
      } catch {
        return .failure(error)
      }
    }
    if try result.get() { return }
    try await call.waitUntilDrained()
  }
}

/// The requests of a call that streams them: one consumer, once.
///
/// Flow control holds the caller back while nothing is read. Ends normally when the caller ended its stream; throws
/// CANCELLED when the call is over before that, INVALID_ARGUMENT for a payload that is not a message.
public struct RequestStream<Message: RPCMessage>: AsyncSequence, Sendable {
  public typealias Failure = RPCError
  let call: ServerCall

  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(call: call)
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    let call: ServerCall

    public mutating func next() async throws(RPCError) -> Message? {
      try await next(isolation: nil)
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(RPCError) -> Message? {
      while true {
        let step: Result<ServerCall.Next<Message>, RPCError>
        if call.loop.inEventLoop {
          step = call.nextResult(Message.self)
        } else {
          step = await call.loop.hop { [call] in call.nextResult(Message.self) }
        }
        switch try step.get() {
        case .message(let message): return message
        case .end: return nil
        case .wait: try await call.waitForRequest()
        }
      }
    }
  }
}

extension EventLoop {
  /// Runs `body` on the loop's thread and answers with its result.
  func hop<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
    await withCheckedContinuation { continuation in
      execute { continuation.resume(returning: body()) }
    }
  }
}
