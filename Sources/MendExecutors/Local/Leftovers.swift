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

  init(directory: AttemptDirectory, token: String? = nil) throws(SystemError) {
    let records = try AttemptRecords(in: directory)
    let recorded = records.read(AttemptRecords.launch)?.environment[AttemptEnvironment.tokenName]
    self.token = token ?? recorded ?? ""
    entrypoint = records.read(AttemptRecords.started)
    supervisor = records.read(AttemptRecords.supervisor)
  }

  /// One pass: kills all that it finds. Repeat until it finds nothing, for what is killed may have just forked. Throws
  /// where it could not look everywhere: then nothing is known of what is left.
  ///
  /// What multiplies is stopped first, for a kill makes room for the next fork, and a stop makes none.
  func kill() throws(SystemError) -> Set<ProcessIdentity> {
    var stopped: [ProcessIdentity: ProcessTable.Status] = [:]
    var failure: SystemError?
    for _ in 0..<Self.freezingPasses where failure == nil {
      let look = look()
      failure = look.failure
      let moving = look.processes.filter { stopped[$0.identity] == nil }
      if moving.isEmpty { break }
      for process in moving { stopped[process.identity] = process }
      failure = signal(moving, SIGSTOP) ?? failure
    }
    // Also where not all could be seen: what is stopped is not to stay so, and what was found is found.
    failure = signal(Array(stopped.values), SIGKILL) ?? failure
    if let failure { throw failure }
    return Set(stopped.keys)
  }

  /// A fork with a signal waiting fails (fork(2) is begun again after it): who was sent one stop needs no other. What is
  /// still coming after so many looks is for the next pass.
  private static let freezingPasses = 50

  /// To all of them that can be reached; the last reason why others could not be.
  private func signal(_ processes: [ProcessTable.Status], _ number: Int32) -> SystemError? {
    var failure: SystemError?
    for process in processes {
      do throws(SystemError) { try ProcessReference.signal(process, number) } catch { failure = error }
    }
    return failure
  }

  /// Parents before their children: a worker must not live to see its commands killed.
  func find() throws(SystemError) -> [ProcessTable.Status] { try look().get() }

  private func look() -> ProcessTable.Look {
    let all = ProcessTable.allProcesses()
    let byPID = Dictionary(all.processes.map { ($0.pid, $0) }, uniquingKeysWith: { first, _ in first })
    let spared = supervisor.flatMap { identity in
      identity.bootID == ProcessTable.bootID && byPID[identity.pid]?.startTicks == identity.startTicks
        ? identity.pid : nil
    }
    var belongs: [Int32: Bool] = [:]
    func decide(_ process: ProcessTable.Status) throws(SystemError) -> Bool {
      if let known = belongs[process.pid] { return known }
      belongs[process.pid] = false  // ends the walk where parents changed while it was made
      var result = isOfSession(process, byPID) || process.parent == spared
      if !result { result = try isOrphan(process, byPID) }
      if !result, let parent = byPID[process.parent] { result = try decide(parent) }
      // An environment last: among thousands that fork, the kernel makes who reads it wait.
      if !result { result = try bearsToken(process) }
      belongs[process.pid] = result
      return result
    }
    var found = ProcessTable.Look(failure: all.failure)
    for process in all.processes where process.pid != spared {
      do throws(SystemError) {
        if try decide(process) { found.processes.append(process) }
      } catch {
        found.failure = error
      }
    }
    found.processes.sort { ($0.startTicks, $0.pid) < ($1.startTicks, $1.pid) }
    if all.isPartial { addKept(to: &found, spared.flatMap { byPID[$0] }, byPID) }
    return found
  }

  /// Of what the system keeps from this process, such as programs that became another user's, it is known whose children
  /// they are.
  private func addKept(
    to look: inout ProcessTable.Look, _ spared: ProcessTable.Status?, _ byPID: [Int32: ProcessTable.Status]
  ) {
    let inheriting = launcher.flatMap { launcher in
      byPID[launcher.pid].flatMap { $0.startTicks == launcher.startTicks ? $0 : nil }
    }
    for parent in look.processes + [spared, inheriting].compactMap({ $0 }) {
      do throws(SystemError) {
        look.processes += try ProcessTable.keptChildren(of: parent)
      } catch {
        look.failure = error
      }
    }
  }

  private func bearsToken(_ process: ProcessTable.Status) throws(SystemError) -> Bool {
    if token.isEmpty { return false }
    return try ProcessTable.environment(of: process.pid, contains: "\(AttemptEnvironment.tokenName)=\(token)")
  }

  private func isOrphan(
    _ process: ProcessTable.Status, _ byPID: [Int32: ProcessTable.Status]
  ) throws(SystemError) -> Bool {
    guard let launcher, process.parent == launcher.pid, byPID[launcher.pid]?.startTicks == launcher.startTicks else {
      return false
    }
    // Where it has become another program its arguments need not be asked for: like an environment, that can take long.
    if try ProcessTable.name(of: process.pid) != ProcessTable.name(of: launcher.pid) { return true }
    // A copy has the launcher's arguments before it has its own.
    return try ProcessTable.arguments(of: process.pid).dropFirst().first.map { !Supervisor.names.contains($0) } ?? true
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
