internal import Glibc

/// Finds what still runs of an attempt whose supervisor is dead or does not answer.
///
/// Four marks: the attempt's token in the environment that a process was started with (inherited, whatever session or
/// parent it has), the entrypoint's session, descent from one of those or from the supervisor, and having become a child
/// of the launcher, which has no others than supervisors. A process that sheds all four (a cleared environment, a session
/// of its own, no living parent, and a launcher that died before its supervisor) can hide only from the server, never from
/// a living supervisor.
struct Leftovers: Sendable {
  /// Empty: not known.
  var token: String
  /// The leader of the attempt's session.
  var entrypoint: ProcessIdentity?
  /// Spared; what descends from it is not.
  var supervisor: ProcessIdentity?
  /// Inherits what supervisors leave when they are killed, of this attempt or of another that is over as well.
  var launcher: ProcessIdentity?

  init(directory: AttemptDirectory, token: String? = nil) {
    let records = AttemptRecords(in: directory)
    let recorded = records.read(AttemptRecords.launch)?.environment[AttemptEnvironment.tokenName]
    self.token = token ?? recorded ?? ""
    entrypoint = records.read(AttemptRecords.started)
    supervisor = records.read(AttemptRecords.supervisor)
  }

  /// One pass: kills all that it finds. Repeat until it finds nothing, for what is killed may have just forked.
  ///
  /// What multiplies is stopped first, for a kill makes room for the next fork, and a stop makes none.
  func kill() -> Set<ProcessIdentity> {
    var killed: Set<ProcessIdentity> = []
    for _ in 0..<Self.freezingPasses {
      let moving = find().map(identity).filter { !killed.contains($0) }
      if moving.isEmpty { break }
      signal(moving, SIGSTOP)
      killed.formUnion(moving)
    }
    signal(Array(killed), SIGKILL)
    return killed
  }

  /// A fork with a signal waiting fails (fork(2) is begun again after it): who was sent one stop needs no other. What is
  /// still coming after so many looks is for the next pass.
  private static let freezingPasses = 50

  private func signal(_ processes: [ProcessIdentity], _ number: Int32) {
    for process in processes { ProcessReference(process)?.signal(number) }
  }

  private func identity(_ process: ProcessTable.Status) -> ProcessIdentity {
    ProcessIdentity(pid: process.pid, startTicks: process.startTicks, bootID: ProcessTable.bootID)
  }

  /// Parents before their children: a worker must not live to see its commands killed.
  func find() -> [ProcessTable.Status] {
    let processes = ProcessTable.allProcesses()
    let byPID = Dictionary(processes.map { ($0.pid, $0) }, uniquingKeysWith: { first, _ in first })
    let spared = supervisor.flatMap { identity in
      identity.bootID == ProcessTable.bootID && byPID[identity.pid]?.startTicks == identity.startTicks
        ? identity.pid : nil
    }
    var belongs: [Int32: Bool] = [:]
    func decide(_ process: ProcessTable.Status) -> Bool {
      if let known = belongs[process.pid] { return known }
      belongs[process.pid] = false  // ends the walk where parents changed while it was made
      // An environment last: among thousands that fork, the kernel makes who reads it wait.
      let result =
        isOfSession(process, byPID) || isOrphan(process, byPID) || process.parent == spared
        || byPID[process.parent].map(decide) ?? false || bearsToken(process)
      belongs[process.pid] = result
      return result
    }
    return processes.filter { $0.pid != spared && decide($0) }
      .sorted { ($0.startTicks, $0.pid) < ($1.startTicks, $1.pid) }
  }

  private func bearsToken(_ process: ProcessTable.Status) -> Bool {
    !token.isEmpty
      && ProcessTable.environment(of: process.pid, contains: "\(AttemptEnvironment.tokenName)=\(token)")
  }

  private func isOrphan(_ process: ProcessTable.Status, _ byPID: [Int32: ProcessTable.Status]) -> Bool {
    guard let launcher, process.parent == launcher.pid, byPID[launcher.pid]?.startTicks == launcher.startTicks else {
      return false
    }
    // Where it has become another program its arguments need not be asked for: like an environment, that can take long.
    if ProcessTable.name(of: process.pid) != ProcessTable.name(of: launcher.pid) { return true }
    // A copy has the launcher's arguments before it has its own.
    return ProcessTable.arguments(of: process.pid).dropFirst().first.map { !Supervisor.names.contains($0) } ?? true
  }

  /// The kernel gives no pid out again while it names a session, so members older than the leader, or under a leader
  /// that was started at another time, are of another session.
  private func isOfSession(_ process: ProcessTable.Status, _ byPID: [Int32: ProcessTable.Status]) -> Bool {
    guard let entrypoint, entrypoint.bootID == ProcessTable.bootID, process.session == entrypoint.pid,
      process.startTicks >= entrypoint.startTicks
    else { return false }
    guard let leader = byPID[entrypoint.pid] else { return true }
    return leader.startTicks == entrypoint.startTicks
  }
}
