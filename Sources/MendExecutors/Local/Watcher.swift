internal import Synchronization

/// Waits for everything that attempts are waited for, on one thread: ends (pidfds), news (writes, sockets), times.
///
/// Handlers are called on that thread, once each but for news, and must not block.
final class Watcher: Sendable {
  typealias Handler = @Sendable () -> Void

  private let poller: Poller
  private let wakeUp: WakeUp
  private let writes: WriteWatch
  private let state = Mutex(State())
  private let clock = ContinuousClock()

  private struct State {
    var isStopping = false
    var lastToken: UInt64 = Token.firstOther
    var ends: [UInt64: (process: ProcessReference, handler: Handler)] = [:]
    var files: [Int32: Handler] = [:]
    var sources: [UInt64: Handler] = [:]
    /// Ordered by time.
    var timers: [(deadline: ContinuousClock.Instant, handler: Handler)] = []
  }

  private enum Token { static let wakeUp: UInt64 = 0, writes: UInt64 = 1, firstOther: UInt64 = 2 }

  init() throws(SystemError) {
    poller = try Poller()
    wakeUp = try WakeUp()
    writes = try WriteWatch()
    try poller.add(wakeUp.rawDescriptor, token: Token.wakeUp)
    try poller.add(writes.rawDescriptor, token: Token.writes)
  }

  /// Returns after `stop`.
  func run() {
    while !state.withLock({ $0.isStopping }) {
      for token in poller.wait(untilNextTimer()) {
        switch token {
        case Token.wakeUp: wakeUp.clear()
        case Token.writes: handleWrites()
        default: handle(token)
        }
      }
      handleTimers()
    }
  }

  /// Ends `run`, also one that begins later. What was waited for is forgotten.
  func stop() {
    state.withLock {
      $0.isStopping = true
      $0.timers = []
      $0.files = [:]
      $0.ends = [:]
      $0.sources = [:]
    }
    wakeUp.raise()
  }

  func whenEnded(_ process: ProcessReference, _ handler: @escaping Handler) throws(SystemError) {
    let token = state.withLock { state in
      state.lastToken += 1
      state.ends[state.lastToken] = (process, handler)
      return state.lastToken
    }
    do throws(SystemError) {
      try poller.add(process.rawDescriptor, token: token)
    } catch {
      state.withLock { _ = $0.ends.removeValue(forKey: token) }
      throw error
    }
  }

  /// Calls the handler as long as there is something to read, until `forget`; it is to read it.
  func whenReadable(_ rawDescriptor: Int32, _ handler: @escaping Handler) throws(SystemError) -> Source {
    let token = state.withLock { state in
      state.lastToken += 1
      if !state.isStopping { state.sources[state.lastToken] = handler }
      return state.lastToken
    }
    do throws(SystemError) {
      try poller.add(rawDescriptor, token: token)
    } catch {
      state.withLock { _ = $0.sources.removeValue(forKey: token) }
      throw error
    }
    return Source(token: token, rawDescriptor: rawDescriptor)
  }

  struct Source: Sendable {
    fileprivate let token: UInt64
    fileprivate let rawDescriptor: Int32
  }

  /// Before the descriptor is closed.
  func forget(_ source: Source) {
    guard state.withLock({ $0.sources.removeValue(forKey: source.token) }) != nil else { return }
    poller.remove(source.rawDescriptor)
  }

  /// Calls the handler when something was written to the file, until `forget`. Look once afterwards: what came before
  /// is not told.
  func whenWritten(to file: String, _ handler: @escaping Handler) throws(SystemError) -> Int32 {
    // Added under the lock, so that news cannot come before the handler is there.
    let result = state.withLock { state -> Result<Int32, SystemError> in
      Result { () throws(SystemError) in
        let watch = try writes.add(file)
        state.files[watch] = handler
        return watch
      }
    }
    return try result.get()
  }

  func forget(_ watch: Int32) {
    state.withLock { _ = $0.files.removeValue(forKey: watch) }
    writes.remove(watch)
  }

  func after(_ delay: Duration, _ handler: @escaping Handler) {
    let deadline = clock.now + delay
    let isFirst = state.withLock { state in
      guard !state.isStopping else { return false }
      let index = state.timers.firstIndex { $0.deadline > deadline } ?? state.timers.endIndex
      state.timers.insert((deadline, handler), at: index)
      return index == 0
    }
    if isFirst { wakeUp.raise() }
  }

  /// Times that are waited for.
  var timerCount: Int { state.withLock { $0.timers.count } }

  private func untilNextTimer() -> Duration? {
    state.withLock { $0.timers.first.map { max(.zero, $0.deadline - clock.now) } }
  }

  private func handleTimers() {
    let now = clock.now
    let due = state.withLock { state in
      let count = state.timers.prefix { $0.deadline <= now }.count
      let due = state.timers.prefix(count).map(\.handler)
      state.timers.removeFirst(count)
      return due
    }
    for handler in due { handler() }
  }

  private func handle(_ token: UInt64) {
    if let handler = state.withLock({ $0.sources[token] }) { return handler() }
    guard let end = state.withLock({ $0.ends.removeValue(forKey: token) }) else { return }
    poller.remove(end.process.rawDescriptor)
    end.handler()
  }

  private func handleWrites() {
    let watches = writes.next()
    let handlers = state.withLock { state in
      watches.map { $0.compactMap { state.files[$0] } } ?? Array(state.files.values)
    }
    for handler in handlers { handler() }
  }
}
