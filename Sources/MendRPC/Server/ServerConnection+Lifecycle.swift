internal import MendHTTP2
internal import NIOCore

/// How a connection begins, drains and ends: what its ``ConnectionLifecycle`` decides is carried out.
///
/// Draining is where GOAWAY is sent: `beginShutdown()` of the session sends the first, `finishShutdown()` the last. A
/// connection whose peer broke a rule or a time limit gets its GOAWAY from `terminate(_:saying:)` of the session.
extension ServerConnection {
  func on(_ event: ConnectionLifecycle.Event) {
    switch lifecycle.on(event) {
    case .nothing: break
    case .flush: flush()
    case .reportMissingHTTP2: server.observer?.handshakeFailed(peer, .withoutHTTP2)
    case .refuseHTTP1:
      let answer = NIOAny(ByteBuffer(string: NonGRPCRequest.answerInHTTP1))
      channelContext?.writeAndFlush(answer, promise: nil)
      linger()
    case .linger: linger()
    case .end:
      endCalls()
      closeSoon()
    case .beginShutdown:
      session.beginShutdown()
      session.ping(Self.shutdownPing)
      flush()
      // A caller that doesn't answer the ping is told all the same.
      loop.scheduleTask(in: .seconds(1)) { self.on(.shutdownHeard) }
    case .finishShutdown:
      session.finishShutdown()
      scheduleFlush()
    case .close: close()
    case .release: release()
    }
  }

  /// Takes no new calls; the connection closes when the open ones have ended.
  func shutDown() { on(.shutDown) }

  func close() {
    channelContext?.close(promise: nil)
  }

  private func linger() {
    endCalls()
    guard let context = channelContext, context.channel.isWritable else { return close() }
    closeSoon()
    context.close(mode: .output, promise: nil)
  }

  private func closeSoon() {
    channelContext?.channel.setOption(.autoRead, value: false).whenFailure { _ in self.close() }
    loop.scheduleTask(in: .seconds(1)) { self.close() }
  }

  func endCalls() {
    for call in calls.value { call?.streamClosed(RPCError(.cancelled, "the connection to \(peer) is lost")) }
    calls.value.removeAll()
  }
}
