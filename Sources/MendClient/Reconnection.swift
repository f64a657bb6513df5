internal import MendRPC

/// When a stream that broke off is asked for again, and when that is no use any more: what watches and logs share.
struct Reconnection {
  private let limits: MendClient.Limits
  private var backoff: Backoff
  private var hasBegun = false
  /// Tries since the last message, and when to stop them.
  private var failures = 0
  private var deadline: ContinuousClock.Instant?
  private var openedAt: ContinuousClock.Instant?

  init(_ limits: MendClient.Limits) {
    self.limits = limits
    backoff = Backoff(from: limits.backoffMinimum, to: limits.backoffMaximum)
  }

  /// The stream is asked for.
  mutating func opened() { openedAt = .now }

  /// A message came that none before had.
  mutating func succeeded() {
    hasBegun = true
    failures = 0
    deadline = nil
    backoff.reset()
  }

  /// Waits until there is a server to ask again, or throws `error` when it is no use to go on.
  mutating func wait(after error: MendError, for client: MendClient) async throws(MendError) {
    let now = ContinuousClock.now
    // A stream on which nothing was to be said is as good as one with messages.
    if hasBegun, let openedAt, now - openedAt >= limits.reconnectPatience { succeeded() }
    openedAt = nil
    failures += 1
    guard error.isRetryable, error.pushback != .never, !Task.isCancelled else { throw error }
    let end: ContinuousClock.Instant
    if hasBegun {
      end = deadline ?? now + limits.watchReconnectTime
      deadline = end
      guard now < end else { throw error }
    } else if failures >= limits.attemptsPerCall || (error.fault == .connection && error.isCertainlyNotDone) {
      throw error
    } else {
      end = now + limits.reconnectPatience
    }
    var wait = max(backoff.next(), error.details.retryAfter ?? .zero)
    if case .after(let asked)? = error.pushback { wait = asked }
    guard now + wait < end else { throw error }
    do { try await Task.sleep(for: wait) } catch { throw MendError(.cancelled, "the call was cancelled") }
    do throws(MendError) {
      try await client.waitUntilReady(within: max(.zero, end - .now))
    } catch let failure {
      guard failure.code == .unavailable else { throw failure }
      var lasting = error
      lasting.message += "; since then: \(failure.message)"
      throw lasting
    }
  }
}
