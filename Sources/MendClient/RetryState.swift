internal import MendRPC
internal import Synchronization

/// Whether a call may be made twice.
enum Repetition: Sendable, Hashable {
  /// Reads, and the worker's calls, whose second result is counted, not applied.
  case safe
  /// A change under this key. Where the caller did not choose it, the caller can't repeat the call; the client can.
  case keyed(String, isCallers: Bool)
  /// Once, unless the server certainly has not begun it.
  case never
}

/// Decides whether a call that failed is made again, and when: gRPC's A6, as a value that is told the time.
struct RetryState {
  enum Decision: Hashable {
    /// Wait so long, then make the call again.
    case again(after: Duration)
    case giveUp
    /// It would have been made again, but too many calls fail.
    case throttled
  }

  private let repetition: Repetition
  private let limits: MendClient.Limits
  private let deadline: ContinuousClock.Instant
  private var backoff: Backoff
  /// How often the call was made, the one under way included.
  private(set) var attempts = 1
  /// Whether an attempt reached the server: what it did is not known.
  private(set) var mayHaveBegun = false

  init(_ repetition: Repetition, _ limits: MendClient.Limits, deadline: ContinuousClock.Instant) {
    self.repetition = repetition
    self.limits = limits
    self.deadline = deadline
    backoff = Backoff(from: limits.backoffMinimum, to: limits.backoffMaximum)
  }

  /// The attempt under way failed.
  mutating func failed(
    _ error: MendError, budget: inout RetryBudget, now: ContinuousClock.Instant,
    using generator: inout some RandomNumberGenerator
  ) -> Decision {
    if !error.isCertainlyNotDone { mayHaveBegun = true }
    // A pushback says when, not whether, but for a limit that says neither.
    let mayRepeat = error.isRetryable || (error.code == .resourceExhausted && error.pushback != nil)
    if mayRepeat || error.pushback == .never { budget.failed() }
    guard mayRepeat, error.pushback != .never, attempts < limits.attemptsPerCall,
      repetition != .never || error.isCertainlyNotDone
    else { return .giveUp }
    // No server, and none was reached before: whoever asked wants to know it now, not in a while.
    if error.fault == .connection, error.isCertainlyNotDone, attempts == 1 { return .giveUp }
    guard budget.allowsRetries else { return .throttled }
    let wait: Duration
    if case .after(let asked)? = error.pushback {
      backoff.reset()
      wait = asked
    } else {
      wait = max(backoff.next(using: &generator), error.details.retryAfter ?? .zero)
    }
    guard now + wait < deadline else { return .giveUp }
    attempts += 1
    return .again(after: wait)
  }

  /// The error that the call ends with, with what is known of all attempts.
  func described(_ error: MendError) -> MendError {
    var error = error
    error.attempts = attempts
    if mayHaveBegun { error.isCertainlyNotDone = false }
    switch repetition {
    case .safe: error.isRepeatSafe = true
    case .keyed(let key, let isCallers):
      error.idempotencyKey = key
      error.isRepeatSafe = isCallers || error.isCertainlyNotDone
    case .never: error.isRepeatSafe = error.isCertainlyNotDone
    }
    return error
  }
}

/// The calls' common budget of retries: a token bucket (gRPC's A6, throttling).
struct RetryBudget: Hashable {
  private let maximum: Double
  private let ratio: Double
  private(set) var tokens: Double

  init(_ limits: MendClient.Limits) {
    maximum = max(0, limits.retryTokensMaximum)
    ratio = limits.retryTokenRatio
    tokens = maximum
  }

  mutating func failed() { tokens = max(0, tokens - 1) }
  mutating func succeeded() { tokens = min(maximum, tokens + ratio) }
  var allowsRetries: Bool { tokens > maximum / 2 }
}

/// What all calls of a client share about retries.
final class Retries: Sendable {
  private struct State {
    var budget: RetryBudget
    var made = 0
    var throttled = 0
    /// Of the waits' jitter.
    var generator = SeededGenerator(seed: .random(in: .min ... .max))
  }
  private let state: Mutex<State>

  init(_ limits: MendClient.Limits) { state = Mutex(State(budget: RetryBudget(limits))) }

  var counts: (made: Int, throttled: Int) { state.withLock { ($0.made, $0.throttled) } }

  func succeeded() { state.withLock { $0.budget.succeeded() } }

  func decide(_ call: inout RetryState, _ error: MendError) -> RetryState.Decision {
    let now = ContinuousClock.now
    var next = call
    let decision = state.withLock { state in
      let decision = next.failed(error, budget: &state.budget, now: now, using: &state.generator)
      switch decision {
      case .again: state.made += 1
      case .throttled: state.throttled += 1
      case .giveUp: break
      }
      return decision
    }
    call = next
    return decision
  }
}
