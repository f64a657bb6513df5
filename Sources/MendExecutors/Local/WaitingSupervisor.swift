internal import Glibc

/// A supervisor that works for a server: one attempt at a time, and the next when nothing of the last one runs any more.
///
/// What a copy costs is paid once. An attempt is as well off as with a process of its own: the tree is gone when its
/// account is written (a subreaper without children has no descendants), and whoever kills this process hits one attempt.
/// With the server gone it ends as soon as it has nothing in hand; so it does after a while without work, and when it
/// is told to.
struct WaitingSupervisor: ~Copyable {
  private let link: ServerLink
  private let area: ArgumentArea
  private let program: String

  /// Longer than it takes from the end of one attempt to the start of the next.
  static let idleTime: Duration = .seconds(2)

  private enum Token { static let signal: UInt64 = 0, link: UInt64 = 1 }

  init(link: ServerLink, area: ArgumentArea, program: String) {
    self.link = link
    self.area = area
    self.program = program
  }

  /// Its exit status.
  consuming func serve() -> Int32 {
    do throws(SystemError) {
      let signals = try SignalReader()
      _ = setsid()
      try OwnChildren.becomeSubreaper()
      let poller = try Poller()
      try poller.add(signals.rawDescriptor, token: Token.signal)
      try poller.add(link.rawDescriptor, token: Token.link)
      try area.replace(by: Supervisor.waitingArguments(program: program))
      while !link.isOver {
        let tokens = poller.wait(Self.idleTime)
        var isToEnd = tokens.isEmpty
        while let signal = signals.next() { if signal != SIGCHLD { isToEnd = true } }
        if isToEnd { link.close() }
        guard isToEnd || tokens.contains(Token.link) else { continue }
        guard let order = link.next() else { break }
        // A request to end what has ended by itself in the meantime.
        guard case .attempt(let path, let launch) = order.request else { continue }
        let directory = AttemptDirectory(path: path)
        guard let lock = order.takeLock() else {
          // It was sent, and this process has no room for another descriptor.
          link.tell(.noRoom(SystemError("receive the attempt's lock", code: EMFILE)), of: directory)
          continue
        }
        switch try attend(directory, launch, lock: lock, signals: signals) {
        case .ended(let exit): link.tell(.ended(exit: exit), of: directory)
        case .noRoom(let error): link.tell(.noRoom(error), of: directory)
        case .taken: return Supervisor.statusTaken
        }
      }
      return 0
    } catch {
      Supervisor.complain("\(error)")
      return Supervisor.statusFailed
    }
  }

  /// On return it has nothing of the attempt's any more: not the lock, not the name.
  private borrowing func attend(
    _ directory: AttemptDirectory, _ launch: LaunchRecord?, lock: consuming Descriptor,
    signals: borrowing SignalReader
  ) throws(SystemError) -> Supervisor.Outcome {
    try area.replace(by: Supervisor.arguments(program: program, directory, lock: lock.rawValue))
    let outcome = try Supervisor.attend(directory, launch, lock: lock, signals: signals, link: link)
    try area.replace(by: Supervisor.waitingArguments(program: program))
    return outcome
  }
}
