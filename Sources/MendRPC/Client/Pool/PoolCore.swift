internal import NIOCore
internal import Synchronization

/// A call's place on a connection of a pool, until the call has ended.
struct PoolLease: Sendable {
  let core: PoolCore
  let connection: PoolState.ConnectionID

  func end() { core.ended(on: connection) }
}

/// The place of a call on a connection.
struct PoolPlace: Sendable {
  let handler: ClientHandler
  let lease: PoolLease
}

/// Carries out what `PoolState` decides: lock, change the state, unlock, then act.
///
/// Which connection a call gets is decided by ``PoolState/admitAtOnce()``, and where none has room by
/// ``PoolState/request(_:_:now:)``.
final class PoolCore: Sendable {
  typealias ConnectionID = PoolState.ConnectionID
  typealias Waiter = CheckedContinuation<Result<PoolPlace, RPCError>, Never>

  private struct Guarded {
    var state: PoolState
    var handlers: [ConnectionID: ClientHandler] = [:]
    var waiters: [PoolState.CallID: Waiter] = [:]
    var nextCall: UInt64 = 1
    var timer: Scheduled<Void>?
    var timerAt = NIODeadline.distantFuture
    var closers: [CheckedContinuation<Void, Never>] = []
    var transparentRetries = 0
  }

  /// An action that is carried out after the lock is released.
  private enum Effect {
    case resume(Waiter, Result<PoolPlace, RPCError>)
    case dial(ConnectionID, keepaliveInterval: Duration?)
    case retire(ClientHandler)
    case close(ClientHandler)
    case closed(CheckedContinuation<Void, Never>)
  }

  let address: ServerAddress
  let configuration: PoolConfiguration
  private let group: any EventLoopGroup
  private let timerLoop: any EventLoop
  private let guarded: Mutex<Guarded>

  init(_ address: ServerAddress, _ configuration: PoolConfiguration, _ group: any EventLoopGroup) {
    self.address = address
    self.configuration = configuration
    self.group = group
    timerLoop = group.next()
    let seed = configuration.seed ?? UInt64.random(in: .min ... .max)
    guarded = Mutex(
      Guarded(state: PoolState(configuration, address: "\(address)", generator: SeededGenerator(seed: seed))))
  }

  var statistics: ClientPool.Statistics {
    guarded.withLock { guarded in
      var statistics = ClientPool.Statistics()
      for connection in guarded.state.connections {
        if connection.isReady { statistics.connections += 1 }
        statistics.openCalls += connection.openCalls
      }
      statistics.waitingCalls = guarded.state.waiting.count
      statistics.connectionsMade = guarded.state.counters.connectionsMade
      statistics.connectFailures = guarded.state.counters.connectFailures
      statistics.callsRefused = guarded.state.counters.callsRefused
      statistics.transparentRetries = guarded.transparentRetries
      statistics.keepaliveInterval = guarded.state.keepaliveInterval
      return statistics
    }
  }

  // MARK: Calls

  /// Returns a place for a call, waiting if necessary. The caller must call `PoolLease.end()`.
  func place(_ patience: PoolState.Patience) async throws(RPCError) -> PoolPlace {
    let atOnce: PoolPlace? = guarded.withLock { guarded in
      guard let id = guarded.state.admitAtOnce() else { return nil }
      return place(id, guarded.handlers)
    }
    if let atOnce { return atOnce }
    let call = guarded.withLock { guarded in
      defer { guarded.nextCall += 1 }
      return PoolState.CallID(number: guarded.nextCall)
    }
    return try await withTaskCancellationHandler {
      await withCheckedContinuation { waiter in
        step { guarded, now in
          guarded.waiters[call] = waiter
          let (decision, actions) = guarded.state.request(call, patience, now: now)
          switch decision {
          case .admitted(let id): return [.admit(call, id)] + actions
          case .queued: return actions
          case .refused(let error): return [.fail(call, error)] + actions
          }
        }
        // An earlier cancellation found nothing to cancel.
        if Task.isCancelled { cancel(call) }
      }
    } onCancel: {
      cancel(call)
    }.get()
  }

  func ended(on id: ConnectionID) {
    step { guarded, now in guarded.state.ended(on: id, now: now) }
  }

  func countTransparentRetry() { guarded.withLock { $0.transparentRetries += 1 } }

  private func cancel(_ call: PoolState.CallID) {
    step { guarded, _ in
      guarded.state.cancel(call) ? [.fail(call, RPCError(.cancelled, "the call was cancelled"))] : []
    }
  }

  // MARK: The end

  /// Everything drains; returns when the last connection is closed.
  func close() async {
    shutDown()
    await withCheckedContinuation { continuation in
      let isClosed = guarded.withLock { guarded in
        guard !guarded.state.connections.isEmpty else { return true }
        guarded.closers.append(continuation)
        return false
      }
      if isClosed { continuation.resume() }
    }
  }

  func shutDown() {
    step { [address] guarded, _ in
      guarded.state.shutDown(RPCError(.cancelled, "the client of \(address) was closed"))
    }
  }

  // MARK: Steps

  private func step(_ body: (inout Guarded, NIODeadline) -> [PoolState.Action]) {
    let now = NIODeadline.now()
    let effects = guarded.withLock { guarded in
      let actions = body(&guarded, now)
      arm(&guarded)
      return prepare(actions, &guarded)
    }
    for effect in effects { run(effect) }
  }

  private func place(_ id: ConnectionID, _ handlers: [ConnectionID: ClientHandler]) -> PoolPlace {
    guard let handler = handlers[id] else { preconditionFailure("\(id) is ready and has no handler") }
    return PoolPlace(handler: handler, lease: PoolLease(core: self, connection: id))
  }

  private func prepare(_ actions: [PoolState.Action], _ guarded: inout Guarded) -> [Effect] {
    var effects: [Effect] = []
    for action in actions {
      switch action {
      case .connect(let id):
        effects.append(.dial(id, keepaliveInterval: guarded.state.keepaliveInterval))
      case .admit(let call, let id):
        guard let waiter = guarded.waiters.removeValue(forKey: call) else { break }
        effects.append(.resume(waiter, .success(place(id, guarded.handlers))))
      case .fail(let call, let error):
        guard let waiter = guarded.waiters.removeValue(forKey: call) else { break }
        effects.append(.resume(waiter, .failure(error)))
      case .retire(let id):
        if let handler = guarded.handlers[id] { effects.append(.retire(handler)) }
      case .close(let id):
        if let handler = guarded.handlers[id] { effects.append(.close(handler)) }
      }
    }
    if guarded.state.connections.isEmpty, !guarded.closers.isEmpty {
      effects += guarded.closers.map { .closed($0) }
      guarded.closers = []
    }
    return effects
  }

  private func run(_ effect: Effect) {
    switch effect {
    case .resume(let waiter, let result): waiter.resume(returning: result)
    case .dial(let id, let keepaliveInterval): dial(id, keepaliveInterval)
    case .retire(let handler):
      // Calls that find it closing take another.
      let error = RPCError.notBegun("the idle connection to \(address) is closed")
      handler.loop.execute { handler.closeGracefully(error) }
    case .close(let handler):
      handler.loop.execute { handler.close() }
    case .closed(let continuation): continuation.resume()
    }
  }

  /// Schedules the next `tick`. Scheduling runs nothing at once, so it may be done under the lock.
  private func arm(_ guarded: inout Guarded) {
    guard let due = guarded.state.nextDue, due < guarded.timerAt else { return }
    guarded.timer?.cancel()
    guarded.timerAt = due
    guarded.timer = timerLoop.scheduleTask(deadline: due) { [weak self] in
      self?.step { guarded, now in
        guarded.timerAt = .distantFuture
        return guarded.state.tick(now: now)
      }
    }
  }

  // MARK: Connections

  private func dial(_ id: ConnectionID, _ keepaliveInterval: Duration?) {
    var configuration = configuration.connection
    configuration.keepaliveInterval = keepaliveInterval
    Dialer(address: address, configuration: configuration).dial(on: group.next()).whenComplete { [self] result in
      switch result {
      case .success(let handler):
        adopt(handler, id)
      case .failure(let error):
        let error = error as? RPCError ?? .notBegun("can't connect to \(address): \(error)")
        step { guarded, now in guarded.state.closed(id, error, now: now) }
      }
    }
  }

  /// On the connection's loop.
  private func adopt(_ handler: ClientHandler, _ id: ConnectionID) {
    let isWanted = guarded.withLock { guarded in
      guard guarded.state.isConnecting(id) else { return false }
      guarded.handlers[id] = handler
      return true
    }
    // No owner: the pool was closed meanwhile.
    if !isWanted { handler.close() }
    handler.attach { [weak self] event in self?.received(event, id) }
  }

  private func received(_ event: ConnectionEvent, _ id: ConnectionID) {
    step { guarded, now in
      switch event {
      case .ready(let maxCalls): return guarded.state.connected(id, maxCalls: maxCalls, now: now)
      case .maxCalls(let maxCalls): return guarded.state.limitChanged(id, maxCalls: maxCalls, now: now)
      case .served: return guarded.state.served(id)
      case .silent: return guarded.state.silenceChanged(id, isSilent: true, now: now)
      case .heard: return guarded.state.silenceChanged(id, isSilent: false, now: now)
      case .draining(let error, let tooManyPings):
        return guarded.state.draining(id, error, tooManyPings: tooManyPings, now: now)
      case .closed(let error):
        guarded.handlers[id] = nil
        return guarded.state.closed(id, error, now: now)
      }
    }
  }
}
