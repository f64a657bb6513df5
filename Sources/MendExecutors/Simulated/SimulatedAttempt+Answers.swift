internal import MendCore

// What its worker makes of the server's answers.

extension SimulatedAttempt {
  /// Before what was refused or lost is said again.
  static let retryInterval: Duration = .milliseconds(200)

  mutating func take(_ reply: Reply, to said: WorkerRequest.Operation, _ now: Instant) {
    switch reply {
    case .workerStarted(let assignment):
      isAnnounced = true
      heartbeat = assignment.heartbeat
    case .claimed(let claimed):
      inHand += claimed.documents
      answeredClaims += 1
      isFinished = claimed.isFinished
      if claimed.documents.isEmpty, !claimed.isFinished {
        notBefore = now + (claimed.retryAfter ?? Self.retryInterval)
      }
    case .reported(let reported):
      guard case .report(let report) = said else { return }
      if report == results { results = nil }
      if reported.stop { stopWorking() }
    default: return
    }
  }

  mutating func take(
    _ refusal: Refusal, to said: WorkerRequest.Operation, _ now: Instant, _ actions: inout [Action]
  ) {
    switch refusal {
    case .unavailable:
      // Whether it was taken is not known: it is said again as it was.
      notBefore = now + Self.retryInterval
    case .exhausted(_, _, let retryAfter):
      notBefore = now + (retryAfter ?? Self.retryInterval)
    case .aborted, .unknownToken:
      stopWorking()
      if case .ending = phase { return }
      over(.exited(3), line: "fenced: another attempt has the job, or it is over", now, &actions)
    case .invalid, .notFound, .alreadyExists, .precondition, .setAside:
      stopWorking()
      if case .ending = phase { return }
      over(.exited(1), line: "refused: \(refusal)", now, &actions)
    }
  }

  private mutating func stopWorking() {
    inHand = []
    results = nil
    portion = nil
    isAnnounced = true
    isFinished = true
  }
}
