internal import MendHTTP2
internal import NIOCore

/// Handles the session's events.
extension ClientHandler {
  func work() {
    session.exchangeEvents(with: &events)
    guard !events.isEmpty else { return }
    for event in events {
      switch event {
      case .headers(let handle, let endStream):
        if !hasServed {
          hasServed = true
          owner?(.served)
        }
        guard let call = call(handle) else { break }
        var block = HeaderBlock()
        session.exchangeHeaders(of: handle, with: &block)
        call.received(headers: block, endStream: endStream)
      case .data(let handle, _):
        guard let call = call(handle) else { break }
        call.receivedData()
        if session.unreadBytes > configuration.limits.maxBufferedResponseBytes { call.failForMemory() }
      case .trailers(let handle):
        guard let call = call(handle) else { break }
        var block = HeaderBlock()
        session.exchangeTrailers(of: handle, with: &block)
        call.received(trailers: block)
      case .closed(let handle, let code):
        if let call = call(handle) {
          call.streamClosed(code)
          calls[Int(handle.slot)] = nil
          openCalls -= 1
        }
        session.release(handle)
      case .drained(let handle):
        call(handle)?.drained()
      case .settings:
        settingsArrived()
      case .goAway(let last, let code):
        noteKeptCalls(last)
        goAwayArrived(code)
      case .pingAcknowledged, .pingReceived, .settingsAcknowledged, .headersTooLarge:
        break
      }
    }
    events.removeAll(keepingCapacity: true)
    openQueued()
    closeIfDrained()
    arm()
  }

  private func settingsArrived() {
    let allowed = min(session.peerMaxConcurrentStreams, configuration.limits.maxConcurrentCalls)
    if case .connecting = phase {
      connectTimer?.cancel()
      maxCalls = allowed
      phase = .ready
      owner?(.ready(maxCalls: allowed))
    } else if allowed != maxCalls {
      maxCalls = allowed
      owner?(.maxCalls(allowed))
    }
  }

  /// A server that still answers some calls counts as one that has served.
  private func noteKeptCalls(_ last: Int32) {
    guard !hasServed, calls.contains(where: { ($0?.handle?.id).map { $0 <= last } ?? false }) else { return }
    hasServed = true
    owner?(.served)
  }

  private func goAwayArrived(_ code: HTTP2ErrorCode) {
    let text = String(decoding: session.goAwayText, as: UTF8.self)
    let said = text.isEmpty || text.contains(where: \.isNewline) ? "" : " (\(text))"
    let why = code == .noError ? "it is shutting down" : "\(code)\(said)"
    closeGracefully(
      .notBegun("\(address) takes no more calls: \(why)", origin: .server),
      tooManyPings: code == .enhanceYourCalm && text == "too_many_pings")
  }
}
