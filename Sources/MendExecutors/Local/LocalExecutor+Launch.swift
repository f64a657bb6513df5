internal import Glibc
internal import Logging
internal import MendCore
internal import Synchronization

extension LocalExecutor {
  /// Starts an attempt unless there is a trace of it. `told` is the last reported reason why it waits.
  func launchNow(
    _ key: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document],
    through supervisors: SupervisorPool?, told: String? = nil
  ) {
    if announceAgain(key) { return }
    remember(key.batch)
    guard settings.identity.owns(launch.parameters.server) else {
      return emit(.lost(key, message: "it was launched from another data directory and belongs to it"))
    }
    // Ids become file names.
    guard Identifier.isValid(key.batch.namespace), Identifier.isValid(key.batch.batchID) else {
      return emit(.launchFailed(key, .environmentSetup, message: "its namespace or batch id \(Identifier.rule)"))
    }
    let directory = directory(of: key)
    do throws(SystemError) {
      let isNew = try directory.create()
      if !isNew, try isOfAnother(directory, launch) {
        if takeAway(directory) {
          return launchNow(key, launch, documents: documents, through: supervisors, told: told)
        }
        let message = "its launch waits until the processes of an earlier batch with its name have ended"
        return launchLater(key, launch, documents: documents, told: told, message)
      }
      switch try isNew ? .neverStarted(directory.lock()) : examine(directory) {
      case .neverStarted(let lock):
        let record = launchRecord(key, launch, in: directory)
        try prepare(record, documents: documents(), in: directory)
        if let supervisors {
          let launchAgain: @Sendable (String) -> Void = { [self] why in
            launchLater(key, launch, documents: documents, told: told, why)
          }
          if !hand(key, record, in: directory, lock: lock, to: supervisors, launchAgain: launchAgain) {
            return launchNow(key, launch, documents: documents, through: nil, told: told)
          }
        } else {
          watch(key, try start(in: directory, lock: lock), in: directory)
        }
      case .starting:
        perform(for: key, after: Self.startingInterval) {
          self.launchNow(key, launch, documents: documents, through: supervisors)
        }
      case .alive(let process): watch(key, process, in: directory)
      case .ended(let exit): report(key, exit, in: directory)
      case .killed(let identity): cleanUp(key, after: identity, in: directory, token: launch.token)
      }
    } catch {
      if error.isShortage {
        let message = "its launch waits for resources: \(error)"
        return launchLater(key, launch, documents: documents, told: told, message)
      }
      settings.logger.error("launch failed", metadata: ["attempt": "\(key)", "error": "\(error)"])
      emit(.launchFailed(key, .environmentSetup, message: "\(error)"))
    }
  }

  /// Tries a launch again after a shortage, which passes or stops more than this job. Nothing has been started, so nothing
  /// is lost by waiting. The executor does not count as unreachable, and the attempt's start window limits the wait.
  private func launchLater(
    _ key: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document], told: String?,
    _ message: String
  ) {
    if told == nil {
      settings.logger.warning("a launch waits", metadata: ["attempt": "\(key)", "reason": "\(message)"])
    }
    if message != told { emit(.delayed(key, message: message)) }
    state.withLock { $0.attempts[key] = .waiting(message: message) }
    perform(for: key, after: Self.slowestCleaningInterval) { [self] in
      // It may have been told to end.
      guard case .waiting = state.withLock({ $0.attempts[key] }) else { return }
      forget(key)
      launchNow(key, launch, documents: documents, through: supervisors, told: message)
    }
  }

  private func prepare(
    _ record: LaunchRecord, documents: [Document], in directory: AttemptDirectory
  ) throws(SystemError) {
    _ = try FileSystem.createDirectory(directory.work)
    try Manifest.write(documents, to: directory.manifest)
    if let account = settings.account { try hand(directory, to: account) }
    try directory.begin(record)
  }

  /// Hands it to a pooled supervisor, which then holds the lock.
  private func hand(
    _ key: AttemptKey, _ launch: LaunchRecord, in directory: AttemptDirectory, lock: consuming Descriptor,
    to supervisors: SupervisorPool, launchAgain: @escaping @Sendable (String) -> Void
  ) -> Bool {
    let generation = nextGeneration()
    let supervisor = supervisors.start(directory, launch, lock: lock) { [self] news in
      enqueue(for: key) { self.take(news, of: key, generation, launchAgain: launchAgain) }
    }
    guard let supervisor else { return false }
    watch(key, supervisor, generation)
    return true
  }

  /// Starts a supervisor without the launcher.
  private func start(
    in directory: AttemptDirectory, lock: consuming Descriptor
  ) throws(SystemError) -> ProcessReference {
    let log = try FileSystem.open(directory.supervisorLog, O_WRONLY | O_CREAT | O_APPEND)
    return try ProcessReference.Child(
      arguments: Supervisor.arguments(program: mendBinary, directory, lock: 3), environment: baseEnvironment,
      directory: "/", signalsBlocked: true
    ).start(output: log.rawValue, error: log.rawValue, extra: lock.rawValue)
  }

  func launchRecord(_ key: AttemptKey, _ launch: Launch, in directory: AttemptDirectory) -> LaunchRecord {
    let arguments =
      switch launch.parameters.work {
      case .entrypoint(let command): ["/bin/sh", "-c", command]
      case .documentCommand: [mendBinary, "worker"]
      }
    let resources = launch.parameters.resources
    let isWorker = if case .documentCommand = launch.parameters.work { true } else { false }
    var base = baseEnvironment
    if let account = settings.account { base["HOME"] = account.home }
    return LaunchRecord(
      arguments: arguments,
      environment: AttemptEnvironment.variables(
        base: base, key: key, launch: launch, endpoint: settings.endpoint, directory: directory),
      workDirectory: directory.work, memoryLimitBytes: resources.memoryBytes,
      logLimitBytes: resources.limits.logBytes > 0 ? Int(resources.limits.logBytes) : settings.logLimitBytes,
      graceMilliseconds: settings.grace.milliseconds, cpuLimitSeconds: resources.limits.cpuSeconds,
      openFilesLimit: resources.limits.openFiles,
      processesLimit: resources.limits.processes > 0 ? resources.limits.processes + (isWorker ? 1 : 0) : 0,
      account: settings.account, bootID: ProcessTable.bootID,
      server: settings.identity.id.isEmpty ? nil : settings.identity.id,
      softOpenFilesLimit: settings.softOpenFilesLimit > 0 ? settings.softOpenFilesLimit : nil)
  }
}
