internal import MendRPC

/// Decides when a stream that broke off is requested again, and when to give up. Shared by watches and logs.
struct Reconnection {
  private let limits: MendClient.Limits
  private var backoff: Backoff
  private var hasBegun = false
  /// Attempts since the last message, and when to stop.
  private var failures = 0
  private var deadline: ContinuousClock.Instant?
  private var openedAt: ContinuousClock.Instant?

  init(_ limits: MendClient.Limits) {
    self.limits = limits
    backoff = Backoff(from: limits.backoffMinimum, to: limits.backoffMaximum)
  }

  /// The stream is requested.
  mutating func opened() { openedAt = .now }

  /// A new message arrived.
  mutating func succeeded() {
    hasBegun = true
    failures = 0
    deadline = nil
    backoff.reset()
  }

  /// Waits until the server can be asked again, or throws `error` if there is no point in continuing.
  mutating func wait(after error: MendError, for client: MendClient) async throws(MendError) {
    let now = ContinuousClock.now
    // A stream without messages is as good as one with messages: there may have been nothing to send.
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
      throw failure.code == .unavailable ? error.lasting(failure) : failure
    }
  }
}
