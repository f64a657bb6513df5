import MendAPI
import MendCore
import MendRPC
import MendRuntime

extension BatchesServer {
  static let defaultWatchInterval = 0.2
  static let shortestWatchInterval = 0.02
  static let longestWatchInterval = 3600.0

  typealias SendProgress = @Sendable (WatchProgressResponse) async throws(RPCError) -> Void

  func watchProgress(
    _ request: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, context: ServerContext
  ) async throws(RPCError) {
    let call = try gate.admit(context)
    try await watch(request, call, takenBack: { [gate] in await gate.whenTakenBack(context) }) {
      message throws(RPCError) in try await writer.write(message)
    }
  }

  /// Sends a snapshot, or what a resumed watch has missed, then what happens, and ends after the terminal message.
  ///
  /// Throws UNAVAILABLE with where to resume if the server stops. `send` may suspend for as long as the reader likes:
  /// nothing is queued meanwhile, and the next message is made from the newest view.
  ///
  /// - Parameter takenBack: returns when the caller is no longer admitted, with the error, or nil at cancellation.
  func watch(
    _ request: WatchProgressRequest, _ call: Call, takenBack: @escaping @Sendable () async -> RPCError? = { nil },
    send: @escaping SendProgress
  ) async throws(RPCError) {
    try call.check(batchID: request.batchID)
    let state = try await begin(request, call)
    let drain = drain
    let result = await withTaskGroup(of: Result<Void, RPCError>?.self) { group in
      group.addTask { await self.follow(request.batchID, state, call, send) }
      group.addTask {
        await drain.wait()
        return nil
      }
      if gate.tokens != nil {
        group.addTask { await takenBack().map { Result<Void, RPCError>.failure($0) } }
      }
      var result: Result<Void, RPCError>?
      while let next = await group.next() {
        // The first result decides: what cancelled the call comes before the error of the cancelled call.
        if result == nil || drain.hasBegun { result = next ?? result }
        group.cancelAll()
      }
      return result ?? .success(())
    }
    try result.get()
  }

  private func begin(_ request: WatchProgressRequest, _ call: Call) async throws(RPCError) -> WatchState {
    let seconds = request.minIntervalSeconds ?? Self.defaultWatchInterval
    guard (0...Self.longestWatchInterval).contains(seconds) else {
      throw call.invalid("min_interval_seconds", "must be 0 to 3600 seconds, is \(seconds)")
    }
    let interval: Duration = .seconds(max(seconds, Self.shortestWatchInterval))
    let batch = try await view(of: request.batchID, call).batch
    guard request.afterSequence > 0 else { return WatchState(minInterval: interval) }
    guard request.afterSequence <= batch.sequence else {
      throw call.outOfRange(
        "after_sequence", "\(request.afterSequence) is beyond the batch's sequence \(batch.sequence)",
        todo: "resume after the sequence of the last message received, or use 0 for a snapshot")
    }
    return WatchState(
      after: request.afterSequence, report: health(batch, at: batch.updatedAt), minInterval: interval)
  }

  private func health(_ batch: Batch, at now: Instant) -> HealthReport {
    runtime.health(of: batch, at: now)
  }

  /// Runs until the terminal message is sent, the reader is gone, or the server stops.
  private func follow(
    _ batchID: String, _ initial: WatchState, _ call: Call, _ send: SendProgress
  ) async -> Result<Void, RPCError> {
    var state = initial
    // What the reader certainly has: where it is told to resume.
    var delivered = initial.told
    do throws(RPCError) {
      var view = try await view(of: batchID, call)
      while !Task.isCancelled {
        let now = runtime.now()
        switch state.next(view.batch, health(view.batch, at: now), at: now) {
        case .send(let message):
          do throws(RPCError) {
            try await send(message)
          } catch {
            return .failure(drain.hasBegun ? stopped(after: delivered, call) : error)
          }
          delivered = message.sequence
          if message.terminal { return .success(()) }
          view = try await self.view(of: batchID, call)
        case .wait(let sequence, let deadline):
          view = try await change(of: view, after: sequence, until: deadline, call)
        }
      }
    } catch {
      return .failure(error)
    }
    return .failure(
      drain.hasBegun
        ? stopped(after: delivered, call)
        : RPCError(.cancelled, "the watch was cancelled after sequence \(delivered)"))
  }

  /// The newest view, once there is news or the time has come.
  func change(
    of view: BatchView, after sequence: UInt64, until deadline: MendCore.Instant, _ call: Call
  ) async throws(RPCError) -> BatchView {
    do throws(ReadError) {
      return try await runtime.view(of: view.batch.key, after: sequence, until: deadline) ?? view
    } catch {
      throw unreadable(call, error)
    }
  }

  private func stopped(after sequence: UInt64, _ call: Call) -> RPCError {
    var error = call.unavailable(
      "the server is stopping; watch again with after_sequence \(sequence)", retryAfter: .seconds(1))
    error.metadata.add(String(sequence), for: MetadataName.resumeSequence)
    return error
  }
}
