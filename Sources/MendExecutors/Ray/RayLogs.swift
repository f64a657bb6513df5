internal import MendRuntime
internal import Synchronization

/// A cache of the logs that are being read, each fetched whole and returned in pieces.
///
/// Ray returns a log from its beginning or not at all, so each fetch transfers all of it. So the next fetch of a log waits,
/// longer the longer the last one took, and few fetches run at once.
final class RayLogs: Sendable {
  typealias Moment = ContinuousClock.Instant
  typealias Fetch = @Sendable (_ id: String, _ keepingEnd: Int) async throws(RayError) -> RayLog?

  struct Settings: Sendable {
    /// The most bytes kept of a log, its newest; readers are told how many are left out.
    var keptBytes = 16 << 20
    /// The most logs kept at once; the one that was read longest ago is dropped first.
    var keptLogs = 4
    /// How long a log is kept after it was last read.
    var keptFor: Duration = .seconds(30)
    var fetchesAtOnce = 2
    /// The time between two fetches of a log: at least this, and so many times what the last one took.
    var interval: Duration = .milliseconds(250)
    var costFactor = 4
  }

  private struct Kept {
    var log: RayLog
    var readAt: Moment
    /// When the log may be fetched again.
    var nextFetch: Moment
  }

  private struct State {
    var kept: [String: Kept] = [:]
    var fetching: Set<String> = []
    var waiting: [Wakeup] = []
  }

  private let settings: Settings
  private let clock = ContinuousClock()
  private let state = Mutex(State())

  init(_ settings: Settings) { self.settings = settings }

  /// Returns bytes from `offset` on, or the next ones that are kept; none at the log's end, nil if there is no such log.
  ///
  /// - Parameter isGrowing: somebody may ask again for what comes, so the end of what is kept is an answer. Otherwise the
  ///   log is fetched once more, however long that has to wait.
  func piece(
    of id: String, from offset: Int64, limit: Int, isGrowing: Bool, _ fetch: Fetch
  ) async throws(RayError) -> LogPiece? {
    while !Task.isCancelled {
      if let piece = kept(id, from: offset, limit, isGrowing) { return piece }
      if let pause = pauseBeforeFetch(id) {
        try? await clock.sleep(until: pause)
        continue
      }
      guard await begin(id) else { break }
      defer { finish(id) }
      // Who had the turn before may have fetched it.
      if pauseBeforeFetch(id) != nil { continue }
      let start = clock.now
      guard let log = try await fetch(id, settings.keptBytes) else { return nil }
      keep(log, of: id, took: clock.now - start)
      return Self.piece(of: log, from: offset, limit)
    }
    throw .unknown("the reader is gone")
  }

  /// Logs kept in memory, and their bytes.
  var counts: (logs: Int, bytes: Int) {
    state.withLock { ($0.kept.count, $0.kept.values.reduce(0) { $0 + $1.log.bytes.count }) }
  }

  /// Drops logs that nobody reads any more.
  func clean() {
    let limit = clock.now - settings.keptFor
    state.withLock { state in state.kept = state.kept.filter { $0.value.readAt > limit } }
  }

  private static func piece(of log: RayLog, from offset: Int64, _ limit: Int) -> LogPiece {
    let start = min(max(offset, log.start), log.end)
    return LogPiece(offset: start, bytes: Array(log.bytes.dropFirst(Int(start - log.start)).prefix(limit)))
  }

  /// Nil where the log has to be fetched: its end as it was kept is reached, or a reader begins.
  private func kept(_ id: String, from offset: Int64, _ limit: Int, _ isGrowing: Bool) -> LogPiece? {
    let now = clock.now
    return state.withLock { state in
      guard let kept = state.kept[id] else { return nil }
      let isFresh = now < kept.nextFetch
      guard offset < kept.log.end ? offset > 0 || isFresh : isGrowing && isFresh else { return nil }
      state.kept[id]?.readAt = now
      return Self.piece(of: kept.log, from: offset, limit)
    }
  }

  private func pauseBeforeFetch(_ id: String) -> Moment? {
    let now = clock.now
    return state.withLock { $0.kept[id].flatMap { $0.nextFetch > now ? $0.nextFetch : nil } }
  }

  private func keep(_ log: RayLog, of id: String, took: Duration) {
    let now = clock.now
    let next = now + max(settings.interval, took * settings.costFactor)
    state.withLock { state in
      state.kept[id] = Kept(log: log, readAt: now, nextFetch: next)
      while state.kept.count > settings.keptLogs, let oldest = state.kept.min(by: { $0.value.readAt < $1.value.readAt })
      {
        state.kept[oldest.key] = nil
      }
    }
  }

  // MARK: turns

  /// Waits for the turn to fetch a log; false at cancellation.
  private func begin(_ id: String) async -> Bool {
    while !Task.isCancelled {
      let wakeup = Wakeup()
      let begins = state.withLock { state in
        if state.fetching.count < settings.fetchesAtOnce, state.fetching.insert(id).inserted { return true }
        state.waiting.append(wakeup)
        return false
      }
      if begins { return true }
      await wakeup.wait(until: clock.now + settings.keptFor)
      state.withLock { $0.waiting.removeAll { $0 === wakeup } }
    }
    return false
  }

  private func finish(_ id: String) {
    let waiting = state.withLock { state in
      state.fetching.remove(id)
      return state.waiting
    }
    for wakeup in waiting { wakeup.set() }
  }
}
