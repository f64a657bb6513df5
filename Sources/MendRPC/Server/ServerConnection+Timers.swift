internal import MendHTTP2
internal import NIOCore

/// What ends a connection or a call though nothing arrives.
extension ServerConnection {
  /// Takes no new calls; the connection closes when the open ones have ended.
  func shutDown() {
    guard !isClosed, !isShuttingDown else { return }
    isShuttingDown = true
    session.beginShutdown()
    session.ping(Self.shutdownPing)
    flush()
    // A caller that doesn't answer the ping is told all the same.
    loop.scheduleTask(in: .seconds(1)) { self.announceShutdown() }
  }

  func announceShutdown() {
    guard isShuttingDown, !shutdownAnnounced, !isClosed else { return }
    shutdownAnnounced = true
    session.finishShutdown()
    scheduleFlush()
  }

  /// Wakes this connection when something may be due.
  func arm(at deadline: NIODeadline? = nil, now: NIODeadline = .now()) {
    guard !isClosed else { return }
    let due = min(deadline ?? .distantFuture, timers.nextDue(now: now, openCalls: openCalls))
    guard due < timerAt else { return }
    timer?.cancel()
    timerAt = due
    timer = loop.scheduleTask(deadline: due) { self.tick() }
  }

  private func tick() {
    guard !isClosed else { return }
    timerAt = .distantFuture
    let now = NIODeadline.now()
    switch timers.check(now: now, openCalls: openCalls) {
    case .nothing: break
    case .ping: session.ping(0)
    case .shutDown: shutDown()
    case .close: return close()
    case .terminate(let code):
      session.terminate(
        code,
        saying: code == .settingsTimeout ? "SETTINGS were not acknowledged" : "too slow: nothing was taken or completed"
      )
      flush()
      return endWithLastWords()
    }
    var next: NIODeadline?
    if openCalls > 0 {
      for call in calls.value {
        guard let call, !call.isOver else { continue }
        if let deadline = call.deadline {
          if deadline <= now {
            call.abort(RPCError(.deadlineExceeded, "the call's deadline passed"))
            continue
          }
          next = min(next ?? deadline, deadline)
        }
        if !call.isStarted {
          let due = call.startedAt + .init(server.limits.requestTimeout)
          if due <= now {
            call.abort(
              RPCError(.cancelled, "the request was not complete after \(server.limits.requestTimeout)"))
          } else {
            next = min(next ?? due, due)
          }
        }
      }
    }
    flush()
    arm(at: next)
  }
}
