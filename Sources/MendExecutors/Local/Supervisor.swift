internal import Glibc

/// The process that runs an attempt and writes a durable record of its end: `mend supervise --directory DIR`.
///
/// It has its own session and outlives the server. The entrypoint dies with it (PDEATHSIG). It ends all that the entrypoint
/// started, because a subreaper inherits every descendant that has lost its parent. It has one thread, because PDEATHSIG
/// follows the thread that started the child.
package enum Supervisor {
  /// The exit status if another supervisor has or had this attempt.
  static let statusTaken: Int32 = 75
  static let statusUsage: Int32 = 64
  static let statusFailed: Int32 = 70

  /// Makes the kernel kill jobs before servers when memory is used up.
  private static let outOfMemoryScore: Int32 = 500
  private static let accountPause: Duration = .milliseconds(500)

  /// Everything after `supervise`: `--directory DIR`, and `--lock N` where the caller hands over the locked file; or
  /// `--launches DATA --socket N`, for a `LaunchService`.
  package static func main(_ arguments: [String]) -> Never {
    switch Options(arguments) {
    case .attempt(let directory, let lock): exit(run(AttemptDirectory(path: directory), lock: lock))
    case .launches(let data, let socket):
      do throws(SystemError) {
        try LaunchService(data: data, socket: socket).serve()
        exit(0)
      } catch {
        complain("\(error)")
        exit(statusFailed)
      }
    case nil:
      complain("usage: mend supervise --directory DIR")
      exit(statusUsage)
    }
  }

  /// The first argument of supervisors and of their launcher in the process table.
  static let names = ["supervise", "launcher"]

  /// The arguments of a supervisor, also in the process table.
  static func arguments(program: String, _ directory: AttemptDirectory, lock: Int32) -> [String] {
    [program, "supervise", "--directory", directory.path, "--lock", "\(lock)"]
  }

  /// The same while it has no attempt.
  static func waitingArguments(program: String) -> [String] { [program, "supervise", "--waiting"] }

  enum Options: Equatable {
    case attempt(directory: String, lock: Int32?)
    case launches(data: String, socket: Int32)

    init?(_ arguments: [String]) {
      var rest = arguments[...]
      var values: [String: String] = [:]
      // The launcher's room for longer arguments.
      while let name = rest.popFirst(), name.first != " " {
        guard let value = rest.popFirst(), values.updateValue(value, forKey: name) == nil else { return nil }
      }
      func descriptor(_ name: String) -> Int32?? {
        guard let text = values[name] else { return .some(nil) }
        guard let number = Int32(text), number > 2 else { return nil }
        return number
      }
      guard let lock = descriptor("--lock"), let socket = descriptor("--socket") else { return nil }
      if let directory = values["--directory"], !directory.isEmpty,
        Set(values.keys).isSubset(of: ["--directory", "--lock"])
      {
        self = .attempt(directory: directory, lock: lock)
      } else if let data = values[LaunchService.option], let socket, values.count == 2 {
        self = .launches(data: data, socket: socket)
      } else {
        return nil
      }
    }
  }

  static func run(_ directory: AttemptDirectory, lock inherited: Int32?) -> Int32 {
    do {
      // Held to the end of this process: it says that the attempt has a supervisor.
      let lock: Descriptor
      if let inherited {
        lock = Descriptor(owning: inherited)
        _ = fcntl(inherited, F_SETFD, FD_CLOEXEC)
      } else {
        guard let taken = try directory.tryLock() else { return statusTaken }
        lock = taken
      }
      let signals = try SignalReader()
      _ = setsid()
      try OwnChildren.becomeSubreaper()
      while true {
        switch try attend(directory, lock: lock, signals: signals, link: nil) {
        case .taken: return statusTaken
        case .ended:
          try AttemptRecordFile.synchronize(in: directory)
          return 0
        case .noRoom(let error):
          // Nothing has been started, and nobody is told: it is tried until somebody ends this.
          Wait.pause(accountPause)
          while let signal = signals.next() { if signal != SIGCHLD { throw error } }
          if lock.isUnlinked() { throw error }
        }
      }
    } catch {
      complain("\(error)")
      return statusFailed
    }
  }

  enum Outcome {
    /// Another supervisor has or had it.
    case taken
    /// The machine had no room for its first record, or for its entrypoint. Nothing was started, and nothing of this try
    /// is left.
    case noRoom(SystemError)
    /// The attempt has ended, with this exit record.
    case ended(exit: [UInt8])
  }

  /// Runs an attempt from its first record to its last, with its lock held. Throws if the records cannot be written.
  static func attend(
    _ directory: AttemptDirectory, _ launch: LaunchRecord? = nil, lock: borrowing Descriptor,
    signals: borrowing SignalReader, link: ServerLink?
  ) throws(SystemError) -> Outcome {
    switch try begin(directory) {
    case .taken: return .taken
    case .noRoom(let error): return .noRoom(error)
    case .begun(let file): return try attend(directory, launch, in: file, lock: lock, signals: signals, link: link)
    }
  }

  private static func attend(
    _ directory: AttemptDirectory, _ launch: LaunchRecord?, in file: consuming AttemptRecordFile,
    lock: borrowing Descriptor, signals: borrowing SignalReader, link: ServerLink?
  ) throws(SystemError) -> Outcome {
    var file = file
    guard let launch = launch ?? file.records.read(AttemptRecords.launch) else {
      let reason = "the launch in \(directory.records) cannot be read"
      return try conclude(.notStarted(reason, limit: 0), of: directory, lock, in: &file, link: link)
    }
    var loop: SupervisorLoop
    do throws(SystemError) {
      loop = try startEntrypoint(launch, in: directory, signals: signals, link: link)
    } catch {
      if error.isShortage, (try? file.takeBack()) != nil { return .noRoom(error) }
      let reason = "\(launch.arguments.first ?? ""): \(error)"
      let exit = ExitAccount.notStarted(reason, limit: launch.memoryLimitBytes)
      return try conclude(exit, of: directory, lock, in: &file, link: link)
    }
    // Without it (a full disk) the start goes unseen by the next server, and nothing else.
    try? file.append(loop.entrypoint, as: AttemptRecords.started)
    link?.tell(.started, of: directory)
    let exit = loop.run(lock: lock, signals: signals, link: link)
    return try conclude(exit, of: directory, lock, in: &file, link: link)
  }

  private enum Beginning: ~Copyable {
    case begun(AttemptRecordFile)
    case taken
    case noRoom(SystemError)
  }

  /// Writes the first record, before anything is started. A later supervisor that finds one knows that the attempt is
  /// over.
  private static func begin(_ directory: AttemptDirectory) throws(SystemError) -> Beginning {
    do throws(SystemError) {
      var file = try AttemptRecordFile(in: directory)
      if file.records.has(AttemptRecords.supervisor) { return .taken }
      try file.append(ProcessTable.ownIdentity, as: AttemptRecords.supervisor)
      return .begun(file)
    } catch {
      guard error.isShortage else { throw error }
      return .noRoom(error)
    }
  }

  private static func startEntrypoint(
    _ launch: LaunchRecord, in directory: AttemptDirectory, signals: borrowing SignalReader, link: ServerLink?
  ) throws(SystemError) -> SupervisorLoop {
    let output = try FileSystem.pipe()
    let error = try FileSystem.pipe()
    // All that the loop needs comes before the entrypoint: once that runs, nothing may fail.
    let poller = try Poller()
    try poller.add(signals.rawDescriptor, token: SupervisorLoop.Token.signal)
    try poller.add(output.reading.rawValue, token: SupervisorLoop.Token.output)
    try poller.add(error.reading.rawValue, token: SupervisorLoop.Token.error)
    if let link, !link.isOver { try poller.add(link.rawDescriptor, token: SupervisorLoop.Token.link) }
    let outputPump = LogPump(output.reading, path: directory.standardOutput, limit: launch.logLimitBytes)
    let errorPump = LogPump(error.reading, path: directory.standardError, limit: launch.logLimitBytes)
    // Its own, so that it may open /dev/stdout and /dev/stderr again.
    if let account = launch.account {
      _ = fchown(output.writing.rawValue, account.user, account.group)
      _ = fchown(error.writing.rawValue, account.user, account.group)
    }
    // The writing ends are closed here on return: only the child and what it starts keep them, so that the last one's
    // exit is the end of the file.
    let entrypoint = try ProcessReference.Child(
      arguments: launch.arguments, environment: launch.environment, directory: launch.workDirectory,
      deathSignal: SIGKILL, outOfMemoryScore: outOfMemoryScore, openFilesLimit: launch.openFilesLimit ?? 0,
      softOpenFilesLimit: launch.softOpenFilesLimit ?? 0, account: launch.account
    ).start(output: output.writing.rawValue, error: error.writing.rawValue)
    return SupervisorLoop(
      launch: launch, directory: directory, entrypoint: entrypoint.identity, poller: poller, output: outputPump,
      error: errorPump)
  }

  /// Writes the exit record, and waits for room on the disk if need be: without the record the attempt would run again.
  /// Tells the server at once, which may have no room either. Throws when the directory is gone.
  private static func conclude(
    _ exit: ExitAccount, of directory: AttemptDirectory, _ lock: borrowing Descriptor,
    in file: inout AttemptRecordFile, link: ServerLink?
  ) throws(SystemError) -> Outcome {
    let bytes = AttemptRecords.exit.encode(exit)
    let line = AttemptRecords.exit.line(encoded: bytes)
    var isTold = false
    while true {
      do throws(SystemError) {
        try file.append(line)
        return .ended(exit: bytes)
      } catch {
        if lock.isUnlinked() { throw error }
        if let link, !link.isOver {
          if !isTold { link.tell(.unkept(exit: bytes), of: directory) }
          isTold = true
          link.wait(accountPause)
        } else {
          Wait.pause(accountPause)
        }
      }
    }
  }

  /// Runs the parts of a supervisor's work that leave no trace, so that copies of this process find them set up.
  static func rehearse() {
    let directory = AttemptDirectory(path: "/nonexistent")
    let identity = ProcessIdentity(pid: 1, startTicks: 1, bootID: ProcessTable.bootID)
    let launch = LaunchRecord(
      arguments: ["/bin/sh"], environment: ["PATH": "/bin"], workDirectory: "/", memoryLimitBytes: 1, logLimitBytes: 1,
      graceMilliseconds: 1, cpuLimitSeconds: 0.5, openFilesLimit: 1, processesLimit: 1, account: nil)
    for record in [AttemptRecords.supervisor, AttemptRecords.started] {
      _ = record.decode(record.encode(identity))
    }
    _ = AttemptRecords.launch.decode(AttemptRecords.launch.encode(launch))
    _ = AttemptRecords.exit.encode(.notStarted("", limit: 1))
    _ = directory.endRequest
    _ = try? directory.has(AttemptRecords.supervisor)
    _ = try? ProcessTable.memory(of: ProcessTable.descendants(of: ProcessTable.ownPID))
    if let poller = try? Poller() { _ = poller.wait(.zero) }
    _ = ContinuousClock().now
    _ = OwnChildren.cpuSeconds
    _ = LastStderrLine().text
  }

  static func complain(_ message: String) {
    let standardError = Descriptor(owning: 2)
    _ = standardError.write(Array("mend supervise: \(message)\n".utf8)[...])
  }
}

extension ExitAccount {
  static func notStarted(_ reason: String, limit: Int64) -> ExitAccount {
    var file = ExitAccount.unknown(
      reason, receipt: Receipt(processes: 0, how: "was not started"), memoryLimitBytes: limit)
    file.termination.kind = .notStarted
    return file
  }
}
