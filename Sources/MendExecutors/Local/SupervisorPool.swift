internal import MendCore
internal import Synchronization

/// The supervisors that work for this server. Those without an attempt wait for the next one.
///
/// At most `limit` wait; others end. Waiting ones end after a while too, and when the server is gone.
final class SupervisorPool: Sendable {
  private let launcher: Launcher
  private let watcher: Watcher
  private let limit: Int
  private let state = Mutex(State())

  /// What a supervisor reports about its attempt.
  enum News: Sendable {
    case started
    /// It ended, and there is no room for its exit record yet. `ended` or `gone` follows.
    case unkept([UInt8])
    /// It ended, with this exit record. The supervisor waits for `release`.
    case ended([UInt8])
    /// There was no room for its first record or its entrypoint; nothing was started. It waits for `dismiss`.
    case noRoom(SystemError)
    /// The supervisor ended or its link is closed; the attempt's directory says the rest. Nothing follows.
    case gone
  }

  private struct State {
    /// The latest is used first, so that supervisors that are not needed end by themselves.
    var waiting: [PooledSupervisor] = []
    var isEnded = false
  }

  /// The most attempts of one process, so that a leak stays small.
  static let attemptsEach = 1000

  init(launcher: Launcher, watcher: Watcher, limit: Int) {
    self.launcher = launcher
    self.watcher = watcher
    self.limit = limit
  }

  var waiting: [ProcessReference] { state.withLock { $0.waiting.map(\.process) } }

  /// Gives an attempt to a waiting supervisor or to a new one; returns nil if there is none.
  ///
  /// `news` is called on the watcher's thread, in order, and must not block.
  func start(
    _ directory: AttemptDirectory, _ launch: LaunchRecord, lock: borrowing Descriptor,
    news: @escaping @Sendable (News) -> Void
  ) -> PooledSupervisor? {
    while let supervisor = state.withLock({ $0.waiting.popLast() }) {
      // It may have ended since.
      if supervisor.take(directory, launch, lock: lock, news: news) { return supervisor }
      dismiss(supervisor)
    }
    guard !state.withLock({ $0.isEnded }), let supervisor = fork() else { return nil }
    if supervisor.take(directory, launch, lock: lock, news: news) { return supervisor }
    dismiss(supervisor)
    return nil
  }

  /// Takes a supervisor back that has no attempt any more.
  func release(_ supervisor: PooledSupervisor) {
    let stays = state.withLock { state in
      guard !state.isEnded, state.waiting.count < limit, supervisor.attempts < Self.attemptsEach else { return false }
      state.waiting.append(supervisor)
      return true
    }
    if !stays { dismiss(supervisor) }
  }

  /// Accepts no further attempts; those that run go on.
  func end() {
    let waiting = state.withLock { state in
      defer { state.waiting = [] }
      state.isEnded = true
      return state.waiting
    }
    for supervisor in waiting { dismiss(supervisor) }
    launcher.end()
  }

  private func fork() -> PooledSupervisor? {
    guard let pair = try? MessageSocket.pair(), let process = launcher.fork(linkedBy: pair.other) else { return nil }
    let supervisor = PooledSupervisor(process: process, socket: pair.takeOne())
    do throws(SystemError) {
      try supervisor.listen(with: watcher) { [self] in
        state.withLock { state in state.waiting.removeAll { $0 === supervisor } }
        dismiss(supervisor)
      }
      return supervisor
    } catch {
      return nil
    }
  }

  /// Closes the link, which ends the process unless it has an attempt.
  func dismiss(_ supervisor: PooledSupervisor) { supervisor.forget(watcher) }
}

/// The server's end of the link to one supervisor.
final class PooledSupervisor: Sendable {
  let process: ProcessReference
  private let socket: MessageSocket
  private let state = Mutex(State())

  private struct State {
    var source: Watcher.Source?
    var news: (@Sendable (SupervisorPool.News) -> Void)?
    var attempts = 0
    var isGone = false
  }

  init(process: ProcessReference, socket: consuming MessageSocket) {
    self.process = process
    self.socket = socket
  }

  /// How many attempts it was given so far.
  var attempts: Int { state.withLock { $0.attempts } }

  /// Gives it an attempt; returns false if it is gone.
  fileprivate func take(
    _ directory: AttemptDirectory, _ launch: LaunchRecord, lock: borrowing Descriptor,
    news: @escaping @Sendable (SupervisorPool.News) -> Void
  ) -> Bool {
    state.withLock { state in
      // With the lock held, for news may come before this returns.
      let request = SupervisorLink.Request.attempt(directory: directory.path, launch).bytes
      guard !state.isGone, (try? socket.send(request, with: lock.rawValue)) != nil else { return false }
      state.news = news
      state.attempts += 1
      return true
    }
  }

  /// Asks it to end its attempt. If it is gone, news of that come anyway.
  func end(grace: Duration) {
    try? socket.send(SupervisorLink.Request.end(graceMilliseconds: grace.milliseconds).bytes)
  }

  fileprivate func listen(with watcher: Watcher, whenGone: @escaping @Sendable () -> Void) throws(SystemError) {
    let source = try watcher.whenReadable(socket.rawDescriptor) { [self] in
      let message: MessageSocket.Message?
      do throws(SystemError) {
        message = try socket.receive(limit: SupervisorLink.newsLimit)
      } catch {
        // A message that is none was taken; for want of memory it comes again.
        return
      }
      if let message {
        // What cannot be read stands in the directory, and is looked up there at the end.
        switch SupervisorLink.News(message.bytes) {
        case .started: state.withLock { $0.news }?(.started)
        case .unkept(let exit): state.withLock { $0.news }?(.unkept(exit))
        case .ended(let exit): takeNews()?(.ended(exit))
        case .noRoom(let error): takeNews()?(.noRoom(error))
        case nil: break
        }
      } else {
        state.withLock { $0.isGone = true }
        whenGone()
        takeNews()?(.gone)
      }
    }
    let isGone = state.withLock { state in
      state.source = source
      return state.isGone
    }
    if isGone { forget(watcher) }
  }

  private func takeNews() -> (@Sendable (SupervisorPool.News) -> Void)? {
    state.withLock { state in
      defer { state.news = nil }
      return state.news
    }
  }

  fileprivate func forget(_ watcher: Watcher) {
    let source = state.withLock { state in
      defer { state.source = nil }
      return state.source
    }
    if let source { watcher.forget(source) }
  }
}
