internal import MendRPC

extension MendClient {
  /// Makes one call, and repeats it while that is safe and helps, never beyond its timeout.
  func call<Response: Sendable>(
    _ repetition: Repetition = .safe, timeout: Duration? = nil,
    _ body: @Sendable (any RPCChannel, CallOptions) async throws(RPCError) -> Response
  ) async throws(MendError) -> Response {
    let deadline = ContinuousClock.now + (timeout ?? settings.limits.callTimeout)
    var state = RetryState(repetition, settings.limits, deadline: deadline)
    while true {
      do throws(RPCError) {
        var options = options(timeout: max(.zero, deadline - .now))
        options.previousAttempts = state.attempts - 1
        let response = try await body(pool, options)
        retries.succeeded()
        return response
      } catch {
        let failure = MendError(error)
        guard case .again(let wait) = retries.decide(&state, failure), !Task.isCancelled else {
          throw state.described(failure)
        }
        try await pause(wait, until: deadline, state, after: failure)
      }
    }
  }

  /// Waits before the next attempt, and then for a connection if there is none.
  private func pause(
    _ wait: Duration, until deadline: ContinuousClock.Instant, _ state: RetryState, after failure: MendError
  ) async throws(MendError) {
    do { try await Task.sleep(for: wait) } catch {
      throw state.described(MendError(.cancelled, "the call was cancelled"))
    }
    do throws(RPCError) {
      try await pool.waitUntilReady(within: min(settings.limits.reconnectPatience, max(.zero, deadline - .now)))
    } catch {
      let error = MendError(error)
      throw state.described(error.code == .deadlineExceeded ? failure.lasting(error) : error)
    }
  }

  /// The options of every call. A nil `timeout` means no timeout.
  func options(timeout: Duration?) -> CallOptions {
    var options = CallOptions()
    if let token = settings.token?.trimmed { options.metadata["authorization"] = "Bearer \(token)" }
    if let namespace = settings.namespace?.trimmed { options.metadata["mend-namespace"] = namespace }
    options.timeout = timeout
    options.waitForReady = settings.waitForReady
    options.maxResponseBytes = settings.limits.responseBytesMaximum
    return options
  }
}

extension String {
  /// The text without blanks and line breaks at its ends.
  fileprivate var trimmed: String {
    let isBlank = { (character: Character) in character.isWhitespace }
    guard let first = first, let last = last, isBlank(first) || isBlank(last) else { return self }
    guard let start = firstIndex(where: { !isBlank($0) }), let end = lastIndex(where: { !isBlank($0) }) else {
      return ""
    }
    return String(self[start...end])
  }
}
