internal import Glibc
internal import MendCore

/// What a supervisor does while its attempt lives.
struct SupervisorLoop: ~Copyable {
  private let launch: LaunchRecord
  private let directory: AttemptDirectory
  let entrypoint: ProcessIdentity
  private var output: LogPump
  private var error: LogPump
  private let clock = ContinuousClock()
  /// Of attempts that this process had before.
  private let cpuSecondsBefore = OwnChildren.cpuSeconds

  private var phase = Phase.running
  private var termination: ExitAccount.Termination?
  private var mayReapMore = false
  private var peakBytes: Int64 = 0
  private var limitPassedAt: Int64?
  private var limitExceeded: ExitAccount.LimitExceeded?
  /// Everything that got a signal, once: what the receipt counts.
  private var signalled: Set<ProcessIdentity> = []
  private var nextSample: ContinuousClock.Instant
  private var sampleInterval = Self.firstSample

  private enum Phase {
    case running
    /// SIGTERM was sent; SIGKILL at the deadline.
    case terminating(Reason, since: ContinuousClock.Instant, deadline: ContinuousClock.Instant)
    /// So long after SIGTERM.
    case killing(Reason, after: Duration)
  }

  private enum Reason { case requested, memoryLimit, limit, leftBehind }

  /// Short lives are measured too: samples start close together and grow apart.
  private static let firstSample: Duration = .milliseconds(5)
  private static let slowestSample: Duration = .milliseconds(50)
  /// Above half of the limit.
  private static let watchfulSample: Duration = .milliseconds(25)
  /// What an entrypoint left running when it ended gets to end by itself.
  private static let leftBehindGrace: Duration = .milliseconds(500)
  private static let killInterval: Duration = .milliseconds(2)
  private static let shortestSample: Duration = .milliseconds(10)
  private static let freezingPasses = 50
  private static let reapedAtOnce = 64
  /// Each pass looks at all that is left.
  private static let killedReapedAtOnce = 4096

  private enum Token { static let signal: UInt64 = 0, output: UInt64 = 1, error: UInt64 = 2, link: UInt64 = 3 }

  init(
    launch: LaunchRecord, directory: AttemptDirectory, entrypoint: ProcessIdentity, output: consuming LogPump,
    error: consuming LogPump
  ) {
    self.launch = launch
    self.directory = directory
    self.entrypoint = entrypoint
    self.output = output
    self.error = error
    nextSample = clock.now + Self.firstSample
  }

  /// Returns once nothing of the attempt runs any more.
  mutating func run(signals: borrowing SignalReader, link: ServerLink?) throws(SystemError) -> ExitAccount {
    let poller = try Poller()
    try poller.add(signals.rawDescriptor, token: Token.signal)
    try poller.add(output.rawDescriptor, token: Token.output)
    try poller.add(error.rawDescriptor, token: Token.error)
    if let link, !link.isOver { try poller.add(link.rawDescriptor, token: Token.link) }
    while true {
      for token in poller.wait(untilNextDeadline()) {
        switch token {
        case Token.signal:
          while let signal = signals.next() {
            if signal == SIGCHLD { continue }
            endOnRequest(grace: directory.endRequest?.graceMilliseconds)
            // Whoever ends a process does not want it to go on with the next attempt.
            link?.close()
          }
        case Token.output:
          output.pump()
          if !output.isOpen { poller.remove(output.rawDescriptor) }
        case Token.error:
          error.pump()
          if !error.isOpen { poller.remove(error.rawDescriptor) }
        default:
          guard let link else { continue }
          if let order = link.next() {
            if case .end(let milliseconds) = order.request { endOnRequest(grace: milliseconds) }
          } else {
            poller.remove(link.rawDescriptor)
          }
        }
      }
      if !reapAll() { break }
      sampleIfDue()
      advance()
    }
    output.finish()
    error.finish()
    return account()
  }

  private func untilNextDeadline() -> Duration {
    if mayReapMore { return .zero }
    var deadline = nextSample
    switch phase {
    case .running: break
    case .terminating(_, _, let kill): deadline = min(deadline, kill)
    case .killing: deadline = clock.now + Self.killInterval
    }
    return max(.zero, deadline - clock.now)
  }

  /// False once there are no children left at all, and so no descendants. What multiplies also ends without end: limits
  /// are looked at in between.
  private mutating func reapAll() -> Bool {
    mayReapMore = false
    let most = if case .killing = phase { Self.killedReapedAtOnce } else { Self.reapedAtOnce }
    for _ in 0..<most {
      switch OwnChildren.reapOne() {
      case .noneLeft: return false
      case .noneEnded:
        if termination != nil, case .running = phase { terminate(.leftBehind, grace: Self.leftBehindGrace) }
        return true
      case .ended(let pid, let exitCode, let signal):
        guard pid == entrypoint.pid else { continue }
        termination =
          signal == 0 ? .init(kind: .exited, number: exitCode) : .init(kind: .signalled, number: signal)
      }
    }
    mayReapMore = true
    return true
  }

  // MARK: limits

  private mutating func sampleIfDue() {
    guard clock.now >= nextSample else { return }
    let all = ProcessTable.descendants(of: ProcessTable.ownPID, withEnded: true)
    let tree = all.filter { !$0.isDead }
    if case .terminating = phase, termination != nil { terminateLatecomers(tree) }
    let bytes = ProcessTable.memoryBytes(of: tree)
    peakBytes = max(peakBytes, bytes)
    let limit = launch.memoryLimitBytes
    if limit > 0 && bytes > limit && limitPassedAt == nil {
      limitPassedAt = FileSystem.wallClockMilliseconds()
      if case .killing = phase {} else { phase = .killing(.memoryLimit, after: .zero) }
      kill()
    }
    if limitExceeded == nil, let text = excess(tree, all) {
      limitExceeded = ExitAccount.LimitExceeded(text: text, isMeasured: true)
      if case .killing = phase {} else { phase = .killing(.limit, after: .zero) }
      kill()
    }
    var slowest = limit > 0 && bytes > limit / 2 ? Self.watchfulSample : Self.slowestSample
    // Processes double in less time than it takes to write this.
    if (launch.processesLimit ?? 0) > 0 { slowest = Self.shortestSample }
    sampleInterval = min(sampleInterval * 2, slowest)
    nextSample = clock.now + sampleInterval
  }

  /// What the tree takes beyond a limit of its own, as a sentence. What ended and was not collected took its time too.
  private func excess(_ tree: [ProcessTable.Status], _ all: [ProcessTable.Status]) -> String? {
    if let allowed = launch.processesLimit, allowed > 0, tree.count > allowed {
      return "\(tree.count) processes ran at once, \(allowed) is its limit; it was ended"
    }
    if let allowed = launch.cpuLimitSeconds, allowed > 0 {
      let ticks = all.reduce(0) { $0 + $1.processorTicks }
      let used = cpuSeconds + Double(ticks) / ProcessTable.ticksPerSecond
      if used > allowed {
        let figures = "\((used * 100).rounded() / 100) s of processor time were used, \(allowed) s is its limit"
        return figures + "; it was ended"
      }
    }
    return nil
  }

  private var cpuSeconds: Double { OwnChildren.cpuSeconds - cpuSecondsBefore }

  private func tree() -> [ProcessTable.Status] { ProcessTable.descendants(of: ProcessTable.ownPID) }

  // MARK: ending

  /// May come again with a shorter grace; a longer one changes nothing.
  private mutating func endOnRequest(grace milliseconds: Int64?) {
    let grace = Duration.milliseconds(max(0, milliseconds ?? launch.graceMilliseconds))
    switch phase {
    case .running: terminate(.requested, grace: grace)
    case .terminating(let reason, let since, let deadline):
      phase = .terminating(reason, since: since, deadline: min(deadline, clock.now + grace))
    case .killing: break
    }
  }

  private mutating func terminate(_ reason: Reason, grace: Duration) {
    guard grace > .zero else {
      phase = .killing(reason, after: .zero)
      return kill()
    }
    phase = .terminating(reason, since: clock.now, deadline: clock.now + grace)
    let tree = tree()
    for process in tree { signal(process, SIGTERM) }
    // One that is stopped would not see it. To the same ones: who came in between has been told nothing yet, and is a
    // latecomer.
    for process in tree { signal(process, SIGCONT) }
  }

  /// What was forked while the signal went round. Not before the entrypoint has ended: until then it may be cleaning up
  /// after itself with new processes.
  private mutating func terminateLatecomers(_ tree: [ProcessTable.Status]) {
    for process in tree where !signalled.contains(identity(process)) { signal(process, SIGTERM) }
  }

  private mutating func advance() {
    switch phase {
    case .running: break
    case .terminating(let reason, let since, let deadline):
      guard clock.now >= deadline else { return }
      phase = .killing(reason, after: clock.now - since)
      kill()
    case .killing: kill()
    }
  }

  /// Once a pass; passes follow until nothing is left, for what is killed may have just forked. What multiplies is
  /// stopped first: nothing that is stopped forks, and nothing stopped is missed. A group is stopped by one call,
  /// however many it has become and however seldom this process gets its turn among them.
  private mutating func kill() {
    if case .killing(.limit, _) = phase {
      // The entrypoint leads a group as it leads a session. Collected, it may be another's by now.
      if termination == nil { _ = Glibc.kill(-entrypoint.pid, SIGSTOP) }
      for _ in 0..<Self.freezingPasses {
        let moving = tree().filter { $0.state != UInt8(ascii: "T") }
        if moving.isEmpty { break }
        stopGroups(of: moving)
        for process in moving { signal(process, SIGSTOP) }
      }
    }
    for process in tree() { signal(process, SIGKILL) }
  }

  /// Sessions that began below this process have groups of descendants only; a member that was just seen keeps the
  /// number from being another's.
  private func stopGroups(of processes: [ProcessTable.Status]) {
    let own = getpgrp()
    for group in Set(processes.map(\.group)) where group != own && group > 1 { _ = Glibc.kill(-group, SIGSTOP) }
  }

  private mutating func signal(_ process: ProcessTable.Status, _ number: Int32) {
    ProcessReference(identity(process))?.signal(number)
    signalled.insert(identity(process))
  }

  private func identity(_ process: ProcessTable.Status) -> ProcessIdentity {
    ProcessIdentity(pid: process.pid, startTicks: process.startTicks, bootID: ProcessTable.bootID)
  }

  // MARK: the account

  private func account() -> ExitAccount {
    ExitAccount(
      termination: termination ?? .init(kind: .unknown, message: "its exit status was not seen"),
      atMilliseconds: FileSystem.wallClockMilliseconds(), peakMemoryBytes: peakBytes,
      memoryLimitBytes: launch.memoryLimitBytes, memoryLimitExceeded: limitPassedAt != nil,
      memoryLimitExceededAtMilliseconds: limitPassedAt, lastStderrLine: error.tail.line,
      cpuSeconds: cpuSeconds,
      receipt: ExitAccount.Receipt(processes: signalled.count, how: how), wasAskedToEnd: wasAskedToEnd ? true : nil,
      limitExceeded: limitExceeded ?? saidLimit)
  }

  /// The system refuses open files by itself; what came of it is only in the entrypoint's own words.
  private var saidLimit: ExitAccount.LimitExceeded? {
    guard let allowed = launch.openFilesLimit, allowed > 0, termination?.kind == .exited, termination?.number != 0,
      error.tail.line.contains("Too many open files")
    else { return nil }
    return ExitAccount.LimitExceeded(
      text: "it was refused more than its limit of \(allowed) open files a process, by its last line: "
        + error.tail.line, isMeasured: false)
  }

  private var wasAskedToEnd: Bool {
    switch phase {
    case .terminating(.requested, _, _), .killing(.requested, _): true
    case .running, .terminating, .killing: false
    }
  }

  private var how: String {
    switch phase {
    case .running: "ended by itself"
    case .terminating(.leftBehind, _, _): "left running by the entrypoint: SIGTERM"
    case .killing(.leftBehind, _): "left running by the entrypoint: SIGTERM, then SIGKILL"
    case .terminating: "SIGTERM"
    case .killing(.memoryLimit, _): "SIGKILL over the memory limit"
    case .killing(.limit, _): "SIGKILL over a limit"
    case .killing(.requested, let time): killedAfter(time)
    }
  }

  private func killedAfter(_ time: Duration) -> String {
    let tenths = time.milliseconds / 100
    switch tenths {
    case 0: return "SIGKILL"
    case ..<10: return "SIGTERM, then SIGKILL after 0.\(tenths) s"
    default: return "SIGTERM, then SIGKILL after \(tenths / 10) s"
    }
  }
}
