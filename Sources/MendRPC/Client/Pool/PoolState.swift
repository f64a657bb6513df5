internal import NIOCore

/// Decides which call goes over which connection, when connections are made, and when they end: a value without
/// sockets, tasks or a clock. Its owner tells it what happened and when, and carries out what it answers.
///
/// A call goes to the oldest connection that has room, so that surplus ones fall idle and are closed. Where none has,
/// it waits, and another connection is made, one at a time, up to the limit and not before the backoff allows it.
///
/// What its owner may do wrong is a trap. What connections may say late (an end that is known, of one that was given
/// up) is passed over.
struct PoolState {
  struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    let number: UInt64
    var description: String { "connection \(number)" }
  }

  struct CallID: Hashable, Sendable {
    let number: UInt64
  }

  /// What a call that finds no connection does.
  struct Patience: Hashable, Sendable {
    /// Wait while the server can't be reached, instead of failing with the reason.
    var waitsForReady = false
    /// Wait no longer than until then.
    var deadline: NIODeadline?
  }

  enum Decision: Hashable {
    case admitted(ConnectionID)
    /// An action will say what becomes of it.
    case queued
    case refused(RPCError)
  }

  enum Action: Hashable {
    case connect(ConnectionID)
    /// A call that waited has a place on the connection.
    case admit(CallID, ConnectionID)
    case fail(CallID, RPCError)
    /// Close it when its calls have ended: it was idle.
    case retire(ConnectionID)
    /// Close it now.
    case close(ConnectionID)
  }

  enum Phase: Hashable {
    case connecting(since: NIODeadline)
    case ready(since: NIODeadline, maxCalls: Int)
    case draining
  }

  struct Connection {
    let id: ConnectionID
    var phase: Phase
    var openCalls = 0
    var idleSince: NIODeadline
    /// A call was given to it, and the server answered one.
    var wasUsed = false
    var hasServed = false
    /// It does not answer, and it is not known whether it will.
    var isSilent = false

    var hasRoom: Bool {
      if case .ready(_, let maxCalls) = phase { return openCalls < maxCalls && !isSilent }
      return false
    }
    /// The server takes no call at present. Others to it would fare the same.
    var isShut: Bool {
      if case .ready(_, let maxCalls) = phase { return maxCalls == 0 }
      return false
    }
    /// When it was made, where it came to nothing: no call was answered on it, though it had one or lasted no longer than
    /// that.
    func failedSince(_ now: NIODeadline, within time: Duration) -> NIODeadline? {
      guard !hasServed, case .ready(let since, _) = phase, wasUsed || now - since < TimeAmount(time) else { return nil }
      return since
    }
    var isReady: Bool { if case .ready = phase { true } else { false } }
    var isConnecting: Bool { if case .connecting = phase { true } else { false } }
    var isDraining: Bool { phase == .draining }
  }

  let configuration: PoolConfiguration
  let address: String
  /// Oldest first.
  var connections: [Connection] = []
  var waiting = WaitingCalls()
  /// Pings on new connections; a server that says "too_many_pings" doubles it (gRPC's A8).
  var keepaliveInterval: Duration?
  var counters = PoolCounters()
  private var generator: SeededGenerator
  private var nextConnection: UInt64 = 1
  private var failures = 0
  /// No attempt to connect before this time.
  private var backoffEnd: NIODeadline?
  /// Why the last attempt failed, while no later one succeeded.
  private(set) var lastFailure: RPCError?

  init(_ configuration: PoolConfiguration, address: String, generator: SeededGenerator) {
    self.configuration = configuration
    self.address = address
    self.generator = generator
    keepaliveInterval = configuration.connection.keepaliveInterval
  }

  /// When to call `tick` next; nil while there is nothing to wait for.
  var nextDue: NIODeadline? {
    var due = waiting.earliestDeadline
    if let backoffEnd, !waiting.isEmpty, mayGrow { due = min(due ?? .distantFuture, backoffEnd) }
    if let idleTimeout {
      for connection in connections where connection.isReady && connection.openCalls == 0 {
        due = min(due ?? .distantFuture, connection.idleSince + idleTimeout)
      }
    }
    return due
  }

  /// Whether this attempt to connect is still wanted.
  func isConnecting(_ id: ConnectionID) -> Bool { index(of: id).map { connections[$0].isConnecting } ?? false }

  private var idleTimeout: TimeAmount? { configuration.idleTimeout.map { TimeAmount($0) } }
  private var hasReadyConnection: Bool { connections.contains { $0.isReady && !$0.isSilent } }

  /// Whether the number of connections allows another; one is made at a time.
  private var mayGrow: Bool {
    var live = 0
    for connection in connections where !connection.isDraining {
      if connection.isConnecting || connection.isShut { return false }
      live += 1
    }
    return live < configuration.maxConnections
  }

  // MARK: Calls

  /// A place for a call where there is one at once: what a call costs that needn't wait.
  mutating func admitAtOnce() -> ConnectionID? {
    guard waiting.isEmpty, let index = connections.firstIndex(where: { $0.hasRoom }) else { return nil }
    connections[index].openCalls += 1
    connections[index].wasUsed = true
    return connections[index].id
  }

  /// A call wants a place.
  mutating func request(_ call: CallID, _ patience: Patience, now: NIODeadline) -> (Decision, [Action]) {
    if let id = admitAtOnce() { return (.admitted(id), []) }
    if let deadline = patience.deadline, deadline <= now { return (.refused(deadlineError()), []) }
    guard waiting.count < configuration.maxQueuedCalls else {
      counters.callsRefused += 1
      return (
        .refused(
          .notBegun(
            "\(waiting.count) calls already wait for a connection to \(address); let some end first",
            .resourceExhausted, origin: .local)), []
      )
    }
    if !patience.waitsForReady, let error = unreachable(now) { return (.refused(error), []) }
    waiting.append(call, patience)
    return (.queued, connectIfNeeded(now))
  }

  /// A call that was admitted to this connection has ended.
  mutating func ended(on id: ConnectionID, now: NIODeadline) -> [Action] {
    guard let index = index(of: id) else { return [] }
    precondition(connections[index].openCalls > 0, "a call ended that was not admitted")
    connections[index].openCalls -= 1
    connections[index].idleSince = now
    return waiting.isEmpty ? [] : serve(now)
  }

  /// A call does not wait any more; false when it does not wait.
  mutating func cancel(_ call: CallID) -> Bool { waiting.remove(call) != nil }

  // MARK: Connections

  mutating func connected(_ id: ConnectionID, maxCalls: Int, now: NIODeadline) -> [Action] {
    guard let index = index(of: id), connections[index].isConnecting else { return [] }
    connections[index].phase = .ready(since: now, maxCalls: maxCalls)
    connections[index].idleSince = now
    backoffEnd = nil
    lastFailure = nil
    counters.connectionsMade += 1
    return serve(now)
  }

  /// The server takes this many calls at once from now on.
  mutating func limitChanged(_ id: ConnectionID, maxCalls: Int, now: NIODeadline) -> [Action] {
    guard let index = index(of: id), case .ready(let since, _) = connections[index].phase else { return [] }
    connections[index].phase = .ready(since: since, maxCalls: maxCalls)
    return serve(now)
  }

  /// The server answered a call: it is as good as one that was never lost.
  mutating func served(_ id: ConnectionID) -> [Action] {
    guard let index = index(of: id) else { return [] }
    connections[index].hasServed = true
    failures = 0
    return []
  }

  /// A connection answers no more, or does again.
  mutating func silenceChanged(_ id: ConnectionID, isSilent: Bool, now: NIODeadline) -> [Action] {
    guard let index = index(of: id) else { return [] }
    connections[index].isSilent = isSilent
    return serve(now)
  }

  /// The server takes no more calls on this connection.
  mutating func draining(_ id: ConnectionID, _ error: RPCError, tooManyPings: Bool, now: NIODeadline) -> [Action] {
    guard let index = index(of: id), !connections[index].isDraining else { return [] }
    let connection = connections[index]
    connections[index].phase = .draining
    if tooManyPings, let interval = keepaliveInterval {
      keepaliveInterval = min(interval * 2, Self.longestKeepaliveInterval)
    }
    var actions: [Action] = []
    let draining = connections.filter { $0.isDraining }
    if draining.count > configuration.maxDrainingConnections, let oldest = draining.first {
      actions.append(.close(oldest.id))
    }
    // A server that says goodbye to whoever comes is as good as none.
    if let since = connection.failedSince(now, within: configuration.backoff.initial) {
      return actions + failed(error, since: since, now: now)
    }
    return actions + connectIfNeeded(now)
  }

  /// The connection is gone, or never came to be.
  mutating func closed(_ id: ConnectionID, _ error: RPCError, now: NIODeadline) -> [Action] {
    guard let index = index(of: id) else { return [] }
    let connection = connections.remove(at: index)
    switch connection.phase {
    case .connecting(let since):
      counters.connectFailures += 1
      return failed(error, since: since, now: now)
    case .ready(let since, _)
    where now - since < TimeAmount(configuration.backoff.initial)
      || connection.failedSince(now, within: configuration.backoff.initial) != nil:
      // A server that takes connections and drops them at once is as good as none.
      return failed(error, since: since, now: now)
    case .ready, .draining:
      return serve(now)
    }
  }

  /// The pool's owner closes it: everything that is open drains, everything that waits fails. A later call opens anew.
  mutating func shutDown(_ error: RPCError) -> [Action] {
    var actions: [Action] = waiting.removeAll().map { .fail($0, error) }
    for index in connections.indices where !connections[index].isDraining {
      actions.append(.retire(connections[index].id))
      connections[index].phase = .draining
    }
    return actions
  }

  mutating func tick(now: NIODeadline) -> [Action] {
    var actions: [Action] = waiting.removeExpired(now).map { .fail($0, deadlineError()) }
    if let idleTimeout {
      for index in connections.indices
      where connections[index].isReady && connections[index].openCalls == 0
        && connections[index].idleSince + idleTimeout <= now
      {
        connections[index].phase = .draining
        actions.append(.retire(connections[index].id))
      }
    }
    return actions + connectIfNeeded(now)
  }

  // MARK: Decisions

  private func index(of id: ConnectionID) -> Int? { connections.firstIndex { $0.id == id } }

  /// Gives places to those who wait, and sees to it that there will be more.
  private mutating func serve(_ now: NIODeadline) -> [Action] {
    var actions: [Action] = []
    while !waiting.isEmpty, let index = connections.firstIndex(where: { $0.hasRoom }), let call = waiting.popFirst() {
      connections[index].openCalls += 1
      connections[index].wasUsed = true
      actions.append(.admit(call, connections[index].id))
    }
    return actions + connectIfNeeded(now)
  }

  private mutating func connectIfNeeded(_ now: NIODeadline) -> [Action] {
    guard !waiting.isEmpty, mayGrow else { return [] }
    if let backoffEnd, backoffEnd > now { return [] }
    let id = ConnectionID(number: nextConnection)
    nextConnection += 1
    connections.append(Connection(id: id, phase: .connecting(since: now), idleSince: now))
    return [.connect(id)]
  }

  /// An attempt to connect failed: the next one waits, and with it only those who want to.
  private mutating func failed(_ error: RPCError, since: NIODeadline, now: NIODeadline) -> [Action] {
    failures += 1
    lastFailure = error
    backoffEnd = since + TimeAmount(configuration.backoff.delay(failures: failures, using: &generator))
    var actions: [Action] = []
    if !hasReadyConnection {
      // What is not UNAVAILABLE is a mistake of ours, such as a certificate file that can't be read: no time heals it.
      let leaving = error.code == .unavailable ? waiting.removeImpatient() : waiting.removeAll()
      actions = leaving.map { .fail($0, error) }
    }
    return actions + serve(now)
  }

  /// Why a call that won't wait fails now; nil when a connection may yet come of it.
  private func unreachable(_ now: NIODeadline) -> RPCError? {
    guard let backoffEnd, backoffEnd > now, let lastFailure, !connections.contains(where: { !$0.isDraining }) else {
      return nil
    }
    var error = lastFailure
    error.message += " (the next attempt is in \(Duration(backoffEnd - now).rounded))"
    return error
  }

  private func deadlineError() -> RPCError {
    let why = lastFailure.map { ": \($0.message)" } ?? ""
    return .notBegun(
      "the deadline passed before a connection took the call\(why)", .deadlineExceeded, origin: .local,
      fault: lastFailure?.connectionFault)
  }

  static let longestKeepaliveInterval = Duration.seconds(24 * 3600)
}

/// What a pool has done so far.
struct PoolCounters: Hashable, Sendable {
  var connectionsMade = 0
  var connectFailures = 0
  var callsRefused = 0
}

extension Duration {
  /// For people: `1.3 seconds`, `85 seconds`.
  fileprivate var rounded: String {
    let tenths = Int((self / .milliseconds(100)).rounded(.up))
    return tenths >= 100 || tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
  }
}
