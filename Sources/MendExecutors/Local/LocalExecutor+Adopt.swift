internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import MendCore
internal import MendRuntime
internal import Synchronization

extension LocalExecutor {
  /// What an attempt's directory says about it.
  enum Finding: ~Copyable {
    case ended(ExitAccount)
    case alive(ProcessReference)
    /// Its supervisor was started and has not written its record.
    case starting
    /// It ran and left no exit record.
    case killed(ProcessIdentity)
    /// Nothing has run, and nothing can while this lock is held.
    case neverStarted(Descriptor)
  }

  /// The time between two looks at a starting supervisor that is not our child.
  static let startingInterval: Duration = .milliseconds(20)
  /// The time between two passes over the processes of a dead supervisor, first and at most.
  static let cleaningInterval: Duration = .milliseconds(5)
  static let slowestCleaningInterval: Duration = .seconds(1)

  /// `handle` is what the server knows about it.
  func examine(_ directory: AttemptDirectory, _ handle: ExecutorHandle? = nil) throws(SystemError) -> Finding {
    if let identity = try directory.read(AttemptRecords.supervisor) { return try finding(of: identity, in: directory) }
    guard let lock = try directory.tryLock() else {
      // What a disk made unreadable is still to be seen in the process table.
      let records = try AttemptRecords(in: directory)
      guard records.mayHaveRun || !records.has(AttemptRecords.launch), let process = try supervisor(of: directory)
      else { return .starting }
      return .alive(process)
    }
    // Written to its end, if at all: it came and went between the two looks, or never came.
    let records = try AttemptRecords(in: directory)
    if let identity = records.read(AttemptRecords.supervisor) { return try finding(of: identity, in: directory) }
    if let exit = records.read(AttemptRecords.exit) { return .ended(exit) }
    // Nobody knows more than that it is gone, if it ever was.
    let launch = records.read(AttemptRecords.launch)
    let boot = launch?.bootID ?? handle?.bootID ?? ProcessTable.bootID
    // A power cut takes records that were written; other damage to a file does, too.
    if boot == ProcessTable.bootID, !records.mayHaveRun, launch != nil || handle == nil { return .neverStarted(lock) }
    return try finding(of: ProcessIdentity(pid: 0, startTicks: 0, bootID: boot), in: directory)
  }

  private func finding(of identity: ProcessIdentity, in directory: AttemptDirectory) throws(SystemError) -> Finding {
    let process = try ProcessReference(identity, collecting: true)
    // Read after it may have been seen dead, for then it writes nothing more. Alive, it has gone on to another attempt.
    if let exit = try directory.read(AttemptRecords.exit) { return .ended(exit) }
    if let process { return .alive(process) }
    return .killed(identity)
  }

  func supervisor(of directory: AttemptDirectory) throws(SystemError) -> ProcessReference? {
    for process in try ProcessTable.ownedProcesses() {
      let arguments = try ProcessTable.arguments(of: process.pid)
      guard arguments.count > 3, arguments[1] == "supervise", arguments[3] == directory.path else { continue }
      return try ProcessReference(
        ProcessIdentity(pid: process.pid, startTicks: process.startTicks, bootID: ProcessTable.bootID))
    }
    return nil
  }

  /// `interval` is the time until the next look while its supervisor starts.
  func adoptNow(
    _ key: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch, interval: Duration = LocalExecutor.startingInterval
  ) {
    if announceAgain(key) { return }
    guard settings.identity.owns(launch.parameters.server) else {
      return emit(.lost(key, message: "it was launched from another data directory and belongs to it"))
    }
    let directory = directory(of: key)
    do throws(SystemError) {
      guard try FileSystem.exists(directory.path) else { return try adoptWithoutDirectory(key, handle, launch) }
      if try isOfAnother(directory, launch) {
        wasReached(key)
        return emit(.lost(key, message: "\(directory.path) belongs to an earlier batch with that name"))
      }
      let finding = try examine(directory, handle)
      wasReached(key)
      switch finding {
      case .neverStarted: emit(.lost(key, message: "its supervisor was never started"))
      case .starting:
        // It may wait for room on the disk.
        let next = min(interval * 2, Self.slowestCleaningInterval)
        perform(for: key, after: interval) { self.adoptNow(key, handle, launch, interval: next) }
      case .alive(let process):
        leaveLink(for: key, in: directory)
        watch(key, process, in: directory)
      case .ended(let exit): report(key, exit, in: directory)
      case .killed(let identity): cleanUp(key, after: identity, in: directory, token: launch.token)
      }
    } catch {
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) { self.adoptNow(key, handle, launch) }
    }
  }

  private func adoptWithoutDirectory(
    _ key: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch
  ) throws(SystemError) {
    let directory = directory(of: key)
    if let boot = handle?.bootID, boot != ProcessTable.bootID {
      wasReached(key)
      let exit = ExitAccount.machineRestarted(memoryLimitBytes: launch.parameters.resources.memoryBytes)
      return emit(.ended(key, exit.record, exit.receipt.value))
    }
    // Whoever removed it may have left what ran in it.
    let killed = try Leftovers(directory: directory, token: launch.token).kill()
    wasReached(key)
    if !killed.isEmpty {
      return perform(for: key, after: Self.cleaningInterval) { self.adoptNow(key, handle, launch) }
    }
    emit(.lost(key, message: "there is no \(directory.path), and no process has its token"))
  }

  // MARK: what does not answer (no descriptors left, a broken disk)

  /// Nothing can be said of the attempt; it is looked at again. It alone: others may be seen, and nothing is held against
  /// any of them.
  func wasNotReached(_ key: AttemptKey, _ error: SystemError) {
    guard state.withLock({ $0.unreached.insert(key).inserted }) else { return }
    settings.logger.error(
      "an attempt cannot be examined; retrying each second",
      metadata: ["attempt": "\(key)", "error": "\(error)"])
    emit(.hidden(key, message: "\(error)"))
  }

  func wasReached(_ key: AttemptKey) {
    guard state.withLock({ $0.unreached.remove(key) }) != nil else { return }
    settings.logger.notice("an attempt can be examined again", metadata: ["attempt": "\(key)"])
    emit(.hidden(key, message: nil))
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

  /// Follows a supervisor that reports over its link.
  func watch(_ key: AttemptKey, _ supervisor: PooledSupervisor, _ generation: UInt64) {
    state.withLock {
      $0.attempts[key] = .watched(
        WatchedAttempt(generation: generation, process: supervisor.process, supervisor: supervisor))
    }
    emit(.taken(key, handle(supervisor.process.identity)))
  }

  /// Runs in the attempt's lane.
  func take(
    _ news: SupervisorPool.News, of key: AttemptKey, _ generation: UInt64,
    launchAgain: (_ why: String) -> Void
  ) {
    switch news {
    case .started:
      if withWatched(key, generation, { $0.startAnnounced = true }) != nil { emit(.started(key)) }
    case .unkept(let bytes):
      guard let exit = AttemptRecords.exit.decode(bytes), withWatched(key, generation, { $0.unkept = exit }) != nil
      else { return }
      settings.logger.warning("no space for an exit record", metadata: ["attempt": "\(key)"])
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
    case .noRoom(let error):
      guard let attempt = withWatched(key, generation, { $0 }), let supervisor = attempt.supervisor else { return }
      // A new one may have room where this one has none.
      supervisors.dismiss(supervisor)
      forget(key)
      if attempt.isAskedToEnd { return emit(.lost(key, message: "it waited for resources, and was not started")) }
      launchAgain("its launch waits for resources: \(error)")
    case .gone:
      // The link is closed a moment before the process is gone.
      guard let process = withWatched(key, generation, { $0.process }) else { return }
      if process.waitForEnd(Self.slowestCleaningInterval) { return supervisorEnded(key, generation) }
      // It does not speak any more; its files and its end say how it goes.
      withWatched(key, generation) { $0.supervisor = nil }
      poll(key, generation)
    }
  }

  private func poll(_ key: AttemptKey, _ generation: UInt64) {
    guard let process = withWatched(key, generation, { $0.process }) else { return }
    // What cannot be seen now is in the next look.
    try? lookForStart(key, generation)
    if process.hasEnded { return supervisorEnded(key, generation) }
    perform(for: key, after: Self.slowestCleaningInterval) { self.poll(key, generation) }
  }

  /// Looked for until it can be told, or the watch is over. However often this is asked for, one look is due.
  func announceStart(_ key: AttemptKey, _ generation: UInt64) {
    do throws(SystemError) {
      try lookForStart(key, generation)
    } catch {
      let isFirst = withWatched(key, generation) { attempt in
        defer { attempt.looksForStart = true }
        return !attempt.looksForStart
      }
      guard isFirst == true else { return }
      perform(for: key, after: Self.slowestCleaningInterval) {
        guard self.withWatched(key, generation, { $0.looksForStart = false }) != nil else { return }
        self.announceStart(key, generation)
      }
    }
  }

  private func lookForStart(_ key: AttemptKey, _ generation: UInt64) throws(SystemError) {
    guard try directory(of: key).has(AttemptRecords.started) else { return }
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

  /// Returns nil if that watch is over.
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
}

extension ExecutorHandle {
  /// Returns the boot that the supervisor ran in.
  fileprivate var bootID: String? { ProcessIdentity(reference: reference)?.bootID }
}
