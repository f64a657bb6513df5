internal import MendHTTP2
internal import NIOCore

/// Time limits of a connection and its calls.
extension ClientHandler {
  func arm(at deadline: NIODeadline? = nil) {
    if case .closed = phase { return }
    var due = deadline ?? .distantFuture
    if let ping = keepalive.nextDue(openCalls: openCalls) { due = min(due, ping) }
    guard due < timerAt else { return }
    timer?.cancel()
    timerAt = due
    timer = loop.scheduleTask(deadline: due) { self.tick() }
  }

  private func tick() {
    timerAt = .distantFuture
    let now = NIODeadline.now()
    var next: NIODeadline?
    for call in calls.compactMap({ $0 }) + queue.all {
      guard call.outcome == nil, let deadline = call.deadline else { continue }
      if deadline <= now {
        call.deadlinePassed()
      } else {
        next = min(next ?? deadline, deadline)
      }
    }
    switch keepalive.check(now: now, openCalls: openCalls) {
    case .nothing: break
    case .ping: session.ping(0)
    case .close:
      loss = ConnectionLoss("it does not answer pings")
      return close()
    }
    flush()
    arm(at: next)
  }
}
