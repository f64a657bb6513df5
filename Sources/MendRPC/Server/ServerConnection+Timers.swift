internal import MendHTTP2
internal import NIOCore

/// Time limits of a connection and its calls.
extension ServerConnection {
  /// Wakes this connection when something may be due.
  func arm(at deadline: NIODeadline? = nil, now: NIODeadline = .now()) {
    guard !isClosed else { return }
    let due = min(
      deadline ?? .distantFuture, timers.nextDue(now: now, openCalls: openCalls, isDraining: lifecycle.isDraining))
    guard due < timerAt else { return }
    timer?.cancel()
    timerAt = due
    timer = loop.scheduleTask(deadline: due) { self.tick() }
  }

  private func tick() {
    guard !isClosed else { return }
    timerAt = .distantFuture
    let now = NIODeadline.now()
    switch timers.check(now: now, openCalls: openCalls, isDraining: lifecycle.isDraining) {
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
      return on(.sessionFinished(isTerminated: true))
    }
    let next = openCalls > 0 ? endOverdueCalls(now) : nil
    flush()
    arm(at: next)
  }

  /// Ends the calls that are due, and answers when the next one will be.
  private func endOverdueCalls(_ now: NIODeadline) -> NIODeadline? {
    var next: NIODeadline?
    for call in calls.value {
      guard let call, !call.state.isOver else { continue }
      let due = call.state.requestDue(TimeAmount(server.limits.requestTimeout))
      if let deadline = call.state.deadline, deadline <= now {
        call.abort(RPCError(.deadlineExceeded, "the call's deadline passed"))
      } else if let due, due <= now {
        call.abort(RPCError(.cancelled, "the request was not complete after \(server.limits.requestTimeout)"))
      } else {
        next = [next, call.state.deadline, due].compactMap(\.self).min()
      }
    }
    return next
  }
}
