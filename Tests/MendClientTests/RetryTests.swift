import MendRPC
import Testing

@testable import MendClient

/// Whether a call is made again, on a clock that stands still.
@Suite("Retries")
struct RetryTests {
  private let now = ContinuousClock.now
  private var limits: MendClient.Limits {
    var limits = MendClient.Limits()
    limits.retryTokensMaximum = 10
    limits.backoffMinimum = .milliseconds(100)
    limits.backoffMaximum = .milliseconds(400)
    return limits
  }

  private func decide(
    _ state: inout RetryState, _ error: MendError, _ budget: inout RetryBudget
  ) -> RetryState.Decision {
    var generator = SeededGenerator(seed: 1)
    return state.failed(error, budget: &budget, now: now, using: &generator)
  }

  private func state(_ repetition: Repetition = .safe, timeout: Duration = .seconds(60)) -> RetryState {
    RetryState(repetition, limits, deadline: now + timeout)
  }

  private static func failure(_ code: StatusCode, _ change: (inout RPCError) -> Void = { _ in }) -> MendError {
    var error = RPCError(code, "no")
    error.origin = .server
    change(&error)
    return MendError(error)
  }

  @Test("UNAVAILABLE is tried again, with growing waits, as often as the limit says")
  func attempts() {
    var (state, budget) = (state(), RetryBudget(limits))
    for step in [100, 200, 400] {
      guard case .again(let wait) = decide(&state, Self.failure(.unavailable), &budget) else {
        Issue.record("it gave up")
        return
      }
      #expect(wait >= .milliseconds(step) / 2 && wait <= .milliseconds(step))
    }
    #expect(decide(&state, Self.failure(.unavailable), &budget) == .giveUp)
    #expect(state.described(Self.failure(.unavailable)).attempts == 4)
  }

  @Test(
    "What the same call can't change is not tried again",
    arguments: [StatusCode.invalidArgument, .notFound, .aborted, .internal, .resourceExhausted, .deadlineExceeded])
  func others(_ code: StatusCode) {
    var (state, budget) = (state(), RetryBudget(limits))
    #expect(decide(&state, Self.failure(code), &budget) == .giveUp)
    #expect(budget.tokens == 10)
  }

  @Test("What may not be repeated is repeated only where the server has not begun it")
  func never() {
    var (state, budget) = (state(.never), RetryBudget(limits))
    #expect(decide(&state, Self.failure(.unavailable), &budget) == .giveUp)
    #expect(decide(&state, Self.failure(.unavailable) { $0.isSafeToRetry = true }, &budget) != .giveUp)
  }

  @Test("Where no server could be reached at all the caller is told at once")
  func noServer() {
    var (state, budget) = (state(), RetryBudget(limits))
    let unreachable = Self.failure(.unavailable) {
      $0.isSafeToRetry = true
      $0.origin = .connection
    }
    #expect(decide(&state, unreachable, &budget) == .giveUp)
    // One that was there a moment ago may come back.
    #expect(decide(&state, Self.failure(.unavailable) { $0.origin = .connection }, &budget) != .giveUp)
    #expect(decide(&state, unreachable, &budget) != .giveUp)
  }

  @Test("The server's word goes before the backoff: later, never, and in RetryInfo at least")
  func serversWord() {
    var (state, budget) = (state(), RetryBudget(limits))
    let later = Self.failure(.unavailable) { $0.retryPushback = .after(.milliseconds(1)) }
    #expect(decide(&state, later, &budget) == .again(after: .milliseconds(1)))
    let never = Self.failure(.unavailable) { $0.retryPushback = .never }
    #expect(decide(&state, never, &budget) == .giveUp)
    var informed = Self.failure(.resourceExhausted)
    informed.details.retryAfter = .seconds(3)
    #expect(decide(&state, informed, &budget) == .again(after: .seconds(3)))
  }

  @Test("A pushback says when a call is made again, not whether it may be")
  func pushback() {
    func decision(_ code: StatusCode) -> RetryState.Decision {
      var (state, budget) = (state(), RetryBudget(limits))
      return decide(&state, Self.failure(code) { $0.retryPushback = .after(.milliseconds(1)) }, &budget)
    }
    for code in [StatusCode.invalidArgument, .notFound, .aborted, .internal, .deadlineExceeded] {
      #expect(decision(code) == .giveUp)
    }
    #expect(decision(.unavailable) == .again(after: .milliseconds(1)))
    // A limit that names a time is one that passes.
    #expect(decision(.resourceExhausted) == .again(after: .milliseconds(1)))
  }

  @Test("A wait that ends beyond the deadline is not begun")
  func deadline() {
    var (state, budget) = (state(timeout: .seconds(2)), RetryBudget(limits))
    var informed = Self.failure(.unavailable)
    informed.details.retryAfter = .seconds(2)
    #expect(decide(&state, informed, &budget) == .giveUp)
    informed.details.retryAfter = .milliseconds(1999)
    #expect(decide(&state, informed, &budget) == .again(after: .milliseconds(1999)))
  }

  @Test("Failures empty the budget, at half of it nothing is tried again, and successes fill it")
  func budget() {
    var budget = RetryBudget(limits)
    for count in 1...10 {
      var state = state()
      let decision = decide(&state, Self.failure(.unavailable), &budget)
      #expect((decision == .throttled) == (count >= 5), "\(count)")
    }
    #expect(budget.tokens == 0)
    for _ in 0..<50 { budget.succeeded() }
    #expect(!budget.allowsRetries)
    budget.succeeded()
    budget.succeeded()
    #expect(budget.allowsRetries)
    for _ in 0..<1000 { budget.succeeded() }
    #expect(budget.tokens == 10)
  }

  @Test("An error says what is known of all attempts, and whether the caller may repeat the call")
  func described() {
    let begun = Self.failure(.unavailable)
    let refused = Self.failure(.unavailable) { $0.isSafeToRetry = true }
    var budget = RetryBudget(limits)
    var state = state(.keyed("k", isCallers: false))
    _ = decide(&state, refused, &budget)
    #expect(state.described(refused).isCertainlyNotDone)
    #expect(state.described(refused).isRepeatSafe)
    _ = decide(&state, begun, &budget)
    // The last attempt was refused, but the one before may have been carried out.
    _ = decide(&state, refused, &budget)
    #expect(!state.described(refused).isCertainlyNotDone)
    #expect(!state.described(refused).isRepeatSafe)
    #expect(state.described(refused).idempotencyKey == "k")
    var callers = self.state(.keyed("k", isCallers: true))
    _ = decide(&callers, begun, &budget)
    #expect(callers.described(begun).isRepeatSafe)
  }
}

@Suite("Faults")
struct FaultTests {
  @Test("An error says whose fault it is")
  func faults() {
    func fault(_ code: StatusCode, _ origin: RPCError.Origin) -> MendError.Fault {
      var error = RPCError(code, "")
      error.origin = origin
      return MendError(error).fault
    }
    #expect(fault(.invalidArgument, .server) == .caller)
    #expect(fault(.notFound, .server) == .caller)
    #expect(fault(.failedPrecondition, .server) == .caller)
    #expect(fault(.failedPrecondition, .local) == .settings)
    #expect(fault(.resourceExhausted, .server) == .server)
    #expect(fault(.resourceExhausted, .local) == .limit)
    #expect(fault(.unavailable, .server) == .server)
    #expect(fault(.unavailable, .connection) == .connection)
    #expect(fault(.internal, .local) == .server)
    #expect(fault(.deadlineExceeded, .local) == .time)
    #expect(fault(.cancelled, .local) == .caller)
    #expect(MendError(.init(rawValue: "NEW"), "").fault == .caller)
  }
}
