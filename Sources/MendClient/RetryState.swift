internal import MendRPC
internal import Synchronization

/// Whether a call may be repeated.
enum Repetition: Sendable, Hashable {
  /// Always: reads, and the worker's calls, whose second result is counted, not applied.
  case safe
  /// A change under this key. If the caller did not choose the key, only the client can repeat the call.
  case keyed(String, isCallers: Bool)
  /// Never, unless the server certainly has not begun it.
  case never
}

/// Decides whether and when a failed call is repeated: gRPC's A6, as a value that takes the time as an argument.
struct RetryState {
  enum Decision: Hashable {
    /// Wait this long, then repeat the call.
    case again(after: Duration)
    case giveUp
    /// It could be repeated, but too many calls fail.
    case throttled
  }

  private let repetition: Repetition
  private let limits: MendClient.Limits
  private let deadline: ContinuousClock.Instant
  private var backoff: Backoff
  /// The number of attempts, including the current one.
  private(set) var attempts = 1
  /// Whether an attempt reached the server, so that its effect is unknown.
  private(set) var mayHaveBegun = false

  init(_ repetition: Repetition, _ limits: MendClient.Limits, deadline: ContinuousClock.Instant) {
    self.repetition = repetition
    self.limits = limits
    self.deadline = deadline
    backoff = Backoff(from: limits.backoffMinimum, to: limits.backoffMaximum)
  }

  /// The current attempt failed.
  mutating func failed(
    _ error: MendError, budget: inout RetryBudget, now: ContinuousClock.Instant,
    using generator: inout some RandomNumberGenerator
  ) -> Decision {
    if !error.isCertainlyNotDone { mayHaveBegun = true }
    // A pushback says when to retry, not whether; a limit without one is not retried.
    let mayRepeat = error.isRetryable || (error.code == .resourceExhausted && error.pushback != nil)
    if mayRepeat || error.pushback == .never { budget.failed() }
    guard mayRepeat, error.pushback != .never, attempts < limits.attemptsPerCall,
      repetition != .never || error.isCertainlyNotDone
    else { return .giveUp }
    // The first attempt reached no server: the caller wants to know that now, not later.
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

  /// The final error of the call, with what is known about all attempts.
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

/// The retry state that all calls of a client share.
final class Retries: Sendable {
  private struct State {
    var budget: RetryBudget
    var made = 0
    var throttled = 0
    /// The random numbers for the waits' jitter.
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
