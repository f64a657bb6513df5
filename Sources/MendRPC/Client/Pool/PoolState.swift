internal import NIOCore

/// Decides which call goes over which connection, when connections are made, and when they end: a value without
/// sockets, tasks or a clock. Its owner reports events with their times and carries out the actions that it returns.
///
/// A call goes to the oldest connection that has room, so that surplus ones become idle and are closed. If none has
/// room, the call waits while another connection is made, one at a time, within the limit and the backoff.
///
/// Mistakes of the owner are traps. Late events of connections that have ended or were given up are ignored.
struct PoolState {
  struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    let number: UInt64
    var description: String { "connection \(number)" }
  }

  struct CallID: Hashable, Sendable {
    let number: UInt64
  }

  /// The behaviour of a call that finds no connection.
  struct Patience: Hashable, Sendable {
    /// Wait while the server can't be reached, instead of failing with the reason.
    var waitsForReady = false
    /// The end of the wait.
    var deadline: NIODeadline?
  }

  enum Decision: Hashable {
    case admitted(ConnectionID)
    /// It waits; an action will end that.
    case queued
    case refused(RPCError)
  }

  enum Action: Hashable {
    case connect(ConnectionID)
    /// Give a waiting call its place on the connection.
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
    /// Whether it has stopped answering.
    var isSilent = false

    var hasRoom: Bool {
      if case .ready(_, let maxCalls) = phase { return openCalls < maxCalls && !isSilent }
      return false
    }
    /// The server takes no calls at present; another connection to it would not help.
    var isShut: Bool {
      if case .ready(_, let maxCalls) = phase { return maxCalls == 0 }
      return false
    }
    /// When it was made, if it came to nothing: it answered no call, although it had one or ended at once.
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
  /// Why the last attempt failed; nil once one has succeeded.
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

  /// Whether another connection may be made; one is made at a time.
  private var mayGrow: Bool {
    var live = 0
    for connection in connections where !connection.isDraining {
      if connection.isConnecting || connection.isShut { return false }
      live += 1
    }
    return live < configuration.maxConnections
  }

  // MARK: Calls

  /// A place for a call if one is free: the short way of a call that needn't wait.
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

  /// A call stops waiting. False if it was not waiting.
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

  /// The server allows this many calls at once from now on.
  mutating func limitChanged(_ id: ConnectionID, maxCalls: Int, now: NIODeadline) -> [Action] {
    guard let index = index(of: id), case .ready(let since, _) = connections[index].phase else { return [] }
    connections[index].phase = .ready(since: since, maxCalls: maxCalls)
    return serve(now)
  }

  /// The server answered a call, so the connection counts as healthy.
  mutating func served(_ id: ConnectionID) -> [Action] {
    guard let index = index(of: id) else { return [] }
    connections[index].hasServed = true
    failures = 0
    return []
  }

  /// A connection stopped answering, or answers again.
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
    // A server that sends GOAWAY on each connection counts as unreachable.
    if let since = connection.failedSince(now, within: configuration.backoff.initial) {
      return actions + failed(error, since: since, now: now)
    }
    return actions + connectIfNeeded(now)
  }

  /// The connection is lost, or was never made.
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
      // A server that drops connections at once counts as unreachable.
      return failed(error, since: since, now: now)
    case .ready, .draining:
      return serve(now)
    }
  }

  /// The pool's owner closes it: open connections drain, waiting calls fail. A later call opens a new connection.
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

  /// Gives places to waiting calls, and makes another connection if that is needed.
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

  /// An attempt to connect failed: the next one is delayed, and only calls that want to wait for it do.
  private mutating func failed(_ error: RPCError, since: NIODeadline, now: NIODeadline) -> [Action] {
    failures += 1
    lastFailure = error
    backoffEnd = since + TimeAmount(configuration.backoff.delay(failures: failures, using: &generator))
    var actions: [Action] = []
    if !hasReadyConnection {
      // Any other error is local, such as an unreadable certificate file: waiting does not help.
      let leaving = error.code == .unavailable ? waiting.removeImpatient() : waiting.removeAll()
      actions = leaving.map { .fail($0, error) }
    }
    return actions + serve(now)
  }

  /// Why a call that does not wait fails now; nil if a connection is being made or may be.
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

/// The counts of a pool so far.
struct PoolCounters: Hashable, Sendable {
  var connectionsMade = 0
  var connectFailures = 0
  var callsRefused = 0
}

extension Duration {
  /// The duration as text: `1.3 seconds`, `85 seconds`.
  fileprivate var rounded: String {
    let tenths = Int((self / .milliseconds(100)).rounded(.up))
    return tenths >= 100 || tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
  }
}
