internal import NIOCore

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
