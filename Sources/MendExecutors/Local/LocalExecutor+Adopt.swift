internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import MendCore
internal import MendRuntime
internal import Synchronization

extension LocalExecutor {
  /// What an attempt's directory says of it.
  enum Finding: ~Copyable {
    case ended(ExitAccount)
    case alive(ProcessReference)
    /// Its supervisor has been started and has not said who it is.
    case starting
    /// It ran, and left no account.
    case killed(ProcessIdentity)
    /// Nothing ran, and nothing can while this lock is held.
    case neverStarted(Descriptor)
  }

  /// Between two looks at a supervisor that is starting and not our child.
  static let startingInterval: Duration = .milliseconds(20)
  /// Between two passes over what a dead supervisor left, at first and at most.
  static let cleaningInterval: Duration = .milliseconds(5)
  static let slowestCleaningInterval: Duration = .seconds(1)

  /// `handle` is what the server kept of it.
  func examine(_ directory: AttemptDirectory, _ handle: ExecutorHandle? = nil) throws(SystemError) -> Finding {
    if let identity = directory.read(AttemptRecords.supervisor) { return finding(of: identity, in: directory) }
    guard let lock = try directory.tryLock() else {
      // What a disk made unreadable is still to be seen in the process table.
      let records = AttemptRecords(in: directory)
      guard records.mayHaveRun || !records.has(AttemptRecords.launch), let process = supervisor(of: directory) else {
        return .starting
      }
      return .alive(process)
    }
    // Written to its end, if at all: it came and went between the two looks, or never came.
    let records = AttemptRecords(in: directory)
    if let identity = records.read(AttemptRecords.supervisor) { return finding(of: identity, in: directory) }
    if let exit = records.read(AttemptRecords.exit) { return .ended(exit) }
    // Nobody knows more than that it is gone, if it ever was.
    let launch = records.read(AttemptRecords.launch)
    let boot = launch?.bootID ?? handle?.bootID ?? ProcessTable.bootID
    // A power cut takes records that were written; other damage to a file does, too.
    if boot == ProcessTable.bootID, !records.mayHaveRun, launch != nil || handle == nil { return .neverStarted(lock) }
    return finding(of: ProcessIdentity(pid: 0, startTicks: 0, bootID: boot), in: directory)
  }

  private func finding(of identity: ProcessIdentity, in directory: AttemptDirectory) -> Finding {
    let process = ProcessReference(identity, collecting: true)
    // Read after it may have been seen dead, for then it writes nothing more. Alive, it has gone on to another attempt.
    if let exit = directory.read(AttemptRecords.exit) { return .ended(exit) }
    if let process { return .alive(process) }
    return .killed(identity)
  }

  private func supervisor(of directory: AttemptDirectory) -> ProcessReference? {
    for process in ProcessTable.ownedProcesses() {
      let arguments = ProcessTable.arguments(of: process.pid)
      guard arguments.count > 3, arguments[1] == "supervise", arguments[3] == directory.path else { continue }
      return ProcessReference(
        ProcessIdentity(pid: process.pid, startTicks: process.startTicks, bootID: ProcessTable.bootID))
    }
    return nil
  }

  func adoptNow(_ key: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    if announceAgain(key) { return }
    let directory = directory(of: key)
    guard FileSystem.exists(directory.path) else {
      if let boot = handle?.bootID, boot != ProcessTable.bootID {
        let exit = ExitAccount.machineRestarted(memoryLimitBytes: launch.parameters.resources.memoryBytes)
        return emit(.ended(key, exit.record, exit.receipt.value))
      }
      // Whoever removed it may have left what ran in it.
      let killed = Leftovers(directory: directory, token: launch.token).kill()
      if !killed.isEmpty {
        return perform(for: key, after: Self.cleaningInterval) { self.adoptNow(key, handle, launch) }
      }
      return emit(.lost(key, message: "there is no \(directory.path), and no process bears its token"))
    }
    if isOfAnother(directory, launch) {
      return emit(.lost(key, message: "\(directory.path) is of an earlier batch of that name"))
    }
    do throws(SystemError) {
      let finding = try examine(directory, handle)
      wasReached()
      switch finding {
      case .neverStarted: emit(.lost(key, message: "its supervisor was never started"))
      case .starting:
        perform(for: key, after: Self.startingInterval) { self.adoptNow(key, handle, launch) }
      case .alive(let process): watch(key, process, in: directory)
      case .ended(let exit): report(key, exit, in: directory)
      case .killed(let identity): cleanUp(key, after: identity, in: directory, token: launch.token)
      }
    } catch {
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) { self.adoptNow(key, handle, launch) }
    }
  }

  // MARK: a data directory that does not answer (no descriptors left, a broken disk)

  /// Nothing can be said of the attempt; it is asked for again.
  func wasNotReached(_ key: AttemptKey, _ error: SystemError) {
    settings.logger.error("an attempt cannot be looked at", metadata: ["attempt": "\(key)", "error": "\(error)"])
    state.withLock { $0.isUnreachable = true }
    emit(.unreachable(.local, message: "\(error)"))
  }

  func wasReached() {
    let news = state.withLock { state in
      defer { state.isUnreachable = false }
      return state.isUnreachable
    }
    if news { emit(.reachable(.local)) }
  }

  // MARK: watching

  /// Follows a living supervisor to its end.
  func watch(_ key: AttemptKey, _ process: ProcessReference, in directory: AttemptDirectory) {
    let generation = nextGeneration()
    state.withLock { $0.attempts[key] = .watched(WatchedAttempt(generation: generation, process: process)) }
    emit(.taken(key, handle(process.identity)))
    do throws(SystemError) {
      let watch = try watcher.whenWritten(to: directory.records) { [self] in
        enqueue(for: key) { self.announceStart(key, generation) }
      }
      withWatched(key, generation) { $0.recordsWatch = watch }
      announceStart(key, generation)
      try watcher.whenEnded(process) { [self] in enqueue(for: key) { self.supervisorEnded(key, generation) } }
    } catch {
      // Out of descriptors or watches: look again instead.
      settings.logger.warning("cannot watch an attempt", metadata: ["attempt": "\(key)", "error": "\(error)"])
      poll(key, generation)
    }
  }

  func nextGeneration() -> UInt64 {
    state.withLock { state in
      state.lastGeneration += 1
      return state.lastGeneration
    }
  }

  /// The same for one that says itself how it goes.
  func watch(_ key: AttemptKey, _ supervisor: PooledSupervisor, _ generation: UInt64) {
    state.withLock {
      $0.attempts[key] = .watched(
        WatchedAttempt(generation: generation, process: supervisor.process, supervisor: supervisor))
    }
    emit(.taken(key, handle(supervisor.process.identity)))
  }

  /// In the attempt's lane.
  func take(_ news: SupervisorPool.News, of key: AttemptKey, _ generation: UInt64) {
    switch news {
    case .started:
      if withWatched(key, generation, { $0.startAnnounced = true }) != nil { emit(.started(key)) }
    case .unkept(let bytes):
      guard let exit = AttemptRecords.exit.decode(bytes), withWatched(key, generation, { $0.unkept = exit }) != nil
      else { return }
      settings.logger.warning("no room for the account of an end", metadata: ["attempt": "\(key)"])
      emit(.ended(key, exit.record, exit.receipt.value))
    case .ended(let bytes):
      guard let attempt = withWatched(key, generation, { $0 }), let supervisor = attempt.supervisor else { return }
      supervisors.release(supervisor)
      if let exit = AttemptRecords.exit.decode(bytes) {
        forget(key)
        emit(.ended(key, exit.record, exit.receipt.value))
      } else {
        supervisorEnded(key, generation)
      }
    case .gone:
      // The link is closed a moment before the process is gone.
      _ = withWatched(key, generation, { $0.process })?.waitForEnd(Self.slowestCleaningInterval)
      supervisorEnded(key, generation)
    }
  }

  private func poll(_ key: AttemptKey, _ generation: UInt64) {
    guard let process = withWatched(key, generation, { $0.process }) else { return }
    announceStart(key, generation)
    if ProcessReference(process.identity) == nil { return supervisorEnded(key, generation) }
    perform(for: key, after: Self.slowestCleaningInterval) { self.poll(key, generation) }
  }

  private func announceStart(_ key: AttemptKey, _ generation: UInt64) {
    guard directory(of: key).has(AttemptRecords.started) else { return }
    let news = withWatched(key, generation) { attempt in
      defer {
        attempt.startAnnounced = true
        attempt.recordsWatch = nil
      }
      return (isFirst: !attempt.startAnnounced, watch: attempt.recordsWatch)
    }
    guard let news else { return }
    if let watch = news.watch { watcher.forget(watch) }
    if news.isFirst { emit(.started(key)) }
  }

  /// For a call that is repeated: true if the attempt is in hand, and then what is known of it was said again.
  func announceAgain(_ key: AttemptKey) -> Bool {
    switch state.withLock({ $0.attempts[key] }) {
    case nil: return false
    case .cleaning: return true
    case .waiting(let message):
      emit(.delayed(key, message: message))
      return true
    case .watched(let attempt):
      emit(.taken(key, handle(attempt.process.identity)))
      if attempt.startAnnounced { emit(.started(key)) }
      if let exit = attempt.unkept { emit(.ended(key, exit.record, exit.receipt.value)) }
      return true
    }
  }

  /// nil if that watch is over.
  @discardableResult
  func withWatched<Result>(
    _ key: AttemptKey, _ generation: UInt64, _ body: (inout WatchedAttempt) -> Result
  ) -> Result? {
    state.withLock { state in
      guard case .watched(var attempt) = state.attempts[key], attempt.generation == generation else { return nil }
      let result = body(&attempt)
      state.attempts[key] = .watched(attempt)
      return result
    }
  }

  // MARK: ends

  private func supervisorEnded(_ key: AttemptKey, _ generation: UInt64) {
    guard let attempt = withWatched(key, generation, { $0 }) else { return }
    attempt.process.reap()
    announceStart(key, generation)
    if let watch = attempt.recordsWatch { watcher.forget(watch) }
    let directory = directory(of: key)
    let records = AttemptRecords(in: directory)
    if let exit = records.read(AttemptRecords.exit) {
      forget(key)
      emit(.ended(key, exit.record, exit.receipt.value))
    } else if let exit = attempt.unkept {
      conclude(key, exit, in: directory)
    } else if records.mayHaveRun {
      cleanUp(key, after: attempt.process.identity, in: directory, forced: attempt)
    } else {
      forget(key)
      if let words = FileSystem.read(directory.supervisorLog), !words.isEmpty {
        let said = String(decoding: words.suffix(512), as: UTF8.self)
        emit(.launchFailed(key, .environmentSetup, message: "its supervisor did not start: \(said)"))
      } else {
        // Killed, for it has words where it fails; and it had started nothing, or there were a record of it.
        let place = "\(settings.dataDirectory)/supervisors.log"
        emit(
          .lost(key, message: "its supervisor ended before it had started anything; if it said why, then in \(place)"))
      }
    }
  }

  func forget(_ key: AttemptKey) { state.withLock { _ = $0.attempts.removeValue(forKey: key) } }

  /// Tells the whole story of an attempt that ended while nobody watched.
  func report(_ key: AttemptKey, _ exit: ExitAccount, in directory: AttemptDirectory) {
    let records = AttemptRecords(in: directory)
    if let identity = records.read(AttemptRecords.supervisor) { emit(.taken(key, handle(identity))) }
    if records.has(AttemptRecords.started) { emit(.started(key)) }
    emit(.ended(key, exit.record, exit.receipt.value))
  }

  /// Ends what a killed supervisor left, writes the account that it did not write, and tells it.
  func cleanUp(
    _ key: AttemptKey, after identity: ProcessIdentity, in directory: AttemptDirectory, token: String? = nil,
    forced: WatchedAttempt? = nil
  ) {
    state.withLock { $0.attempts[key] = .cleaning }
    let limit = directory.read(AttemptRecords.launch)?.memoryLimitBytes ?? 0
    guard identity.bootID == ProcessTable.bootID else {
      var exit = ExitAccount.machineRestarted(memoryLimitBytes: limit)
      exit.lastStderrLine = lastLine(of: directory.standardError)
      return conclude(key, exit, in: directory)
    }
    var leftovers = Leftovers(directory: directory, token: token)
    leftovers.launcher = launcher.process?.identity
    cleaningPass(key, leftovers, killed: forced?.forced ?? [], interval: Self.cleaningInterval) { killed in
      let (message, how) =
        forced?.isForced == true
        ? ("the supervisor did not answer and was killed", "SIGKILL by the server")
        : (
          "the supervisor was killed; nobody saw how the attempt ended",
          killed.isEmpty ? "nothing was left running" : "SIGKILL, left running by a killed supervisor"
        )
      var exit = ExitAccount.unknown(
        message, receipt: .init(processes: killed.count, how: how), memoryLimitBytes: limit)
      exit.lastStderrLine = self.lastLine(of: directory.standardError)
      self.conclude(key, exit, in: directory)
    }
  }

  private func cleaningPass(
    _ key: AttemptKey, _ leftovers: Leftovers, killed: Set<ProcessIdentity>, interval: Duration,
    then done: @escaping @Sendable (Set<ProcessIdentity>) -> Void
  ) {
    let found = leftovers.kill()
    if found.isEmpty { return done(killed) }
    if interval == Self.slowestCleaningInterval {
      settings.logger.warning("processes do not end", metadata: ["attempt": "\(key)", "count": "\(found.count)"])
    }
    perform(for: key, after: interval) {
      self.cleaningPass(
        key, leftovers, killed: killed.union(found), interval: min(interval * 2, Self.slowestCleaningInterval),
        then: done)
    }
  }

  private func conclude(_ key: AttemptKey, _ exit: ExitAccount, in directory: AttemptDirectory) {
    do throws(SystemError) {
      var file = try AttemptRecordFile(in: directory)
      try file.append(exit, as: AttemptRecords.exit)
    } catch {
      // The next adoption comes to the same end.
      settings.logger.warning("no account was kept", metadata: ["attempt": "\(key)", "error": "\(error)"])
    }
    forget(key)
    report(key, exit, in: directory)
  }

  private func lastLine(of path: String) -> String {
    var tail = StandardErrorTail()
    let log = AttemptLog(path: path)
    var offset: Int64 = 0
    while let piece = log.piece(from: offset, limit: 64 * 1024), !piece.bytes.isEmpty {
      tail.append(piece.bytes[...])
      offset = piece.offset + Int64(piece.bytes.count)
    }
    return tail.line
  }
}

extension ExecutorHandle {
  /// Of which boot the supervisor was.
  fileprivate var bootID: String? { ProcessIdentity(reference: reference)?.bootID }
}
