internal import Glibc
internal import MendCore

/// What a supervisor does while its attempt lives.
struct SupervisorLoop: ~Copyable {
  let launch: LaunchRecord
  private let directory: AttemptDirectory
  let entrypoint: ProcessIdentity
  private let poller: Poller
  private var output: LogPump
  var error: LogPump
  private let clock = ContinuousClock()
  /// Of attempts that this process had before.
  private let cpuSecondsBefore = OwnChildren.cpuSeconds

  var phase = Phase.running
  var termination: ExitAccount.Termination?
  private var mayReapMore = false
  private(set) var peakBytes: Int64 = 0
  private(set) var limitPassedAt: Int64?
  var limitExceeded: ExitAccount.LimitExceeded?
  /// Everything that got a signal, once: what the receipt counts.
  var signalled: Set<ProcessIdentity> = []
  private var nextSample: ContinuousClock.Instant
  private var sampleInterval = Self.firstSample
  /// When pages in common are looked at again, for the record alone.
  private var nextExactLook: ContinuousClock.Instant
  /// When the lock's directory is looked at again: once it is gone, nobody will ever ask for this attempt.
  private var nextLookAtDirectory: ContinuousClock.Instant
  /// Somebody was to be told to end, and could not be seen.
  private var signalIsOwed = false

  enum Phase {
    case running
    /// SIGTERM was sent; SIGKILL at the deadline.
    case terminating(Reason, since: ContinuousClock.Instant, deadline: ContinuousClock.Instant)
    /// So long after SIGTERM.
    case killing(Reason, after: Duration)
  }

  enum Reason {
    /// By the server.
    case requested
    /// By SIGTERM, without a request of the server's.
    case signalled
    case memoryLimit, limit, leftBehind, directoryRemoved
  }

  /// Short lives are measured too: samples start close together and grow apart.
  private static let firstSample: Duration = .milliseconds(5)
  private static let slowestSample: Duration = .milliseconds(50)
  /// Above half of the memory limit, where it costs little.
  private static let watchfulSample: Duration = .milliseconds(25)
  /// So many times as long as a sample takes is the wait for the next: 5 % of a CPU; where a limit is near, half of one.
  private static let costFactor = 20
  private static let costFactorNearLimit = 2
  /// The same for looks at every page, beside those that a limit asks for: 2.5 % of a CPU.
  private static let exactCostFactor = 40
  private static let directoryInterval: Duration = .seconds(1)
  /// What an entrypoint left running when it ended gets to end by itself.
  private static let leftBehindGrace: Duration = .milliseconds(500)
  private static let killInterval: Duration = .milliseconds(2)
  private static let shortestSample: Duration = .milliseconds(10)
  private static let freezingPasses = 50
  private static let reapedAtOnce = 64
  /// Each pass looks at all that is left.
  private static let killedReapedAtOnce = 4096

  enum Token { static let signal: UInt64 = 0, output: UInt64 = 1, error: UInt64 = 2, link: UInt64 = 3 }

  init(
    launch: LaunchRecord, directory: AttemptDirectory, entrypoint: ProcessIdentity, poller: consuming Poller,
    output: consuming LogPump, error: consuming LogPump
  ) {
    self.launch = launch
    self.directory = directory
    self.entrypoint = entrypoint
    self.poller = poller
    self.output = output
    self.error = error
    nextSample = clock.now + Self.firstSample
    nextExactLook = clock.now
    nextLookAtDirectory = clock.now + Self.directoryInterval
  }

  /// Returns once nothing of the attempt runs any more.
  mutating func run(lock: borrowing Descriptor, signals: borrowing SignalReader, link: ServerLink?) -> ExitAccount {
    while true {
      for token in poller.wait(untilNextDeadline()) {
        switch token {
        case Token.signal:
          while let signal = signals.next() {
            if signal == SIGCHLD { continue }
            let request = directory.endRequest
            end(request == nil ? .signalled : .requested, grace: request?.graceMilliseconds)
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
            if case .end(let milliseconds) = order.request { end(.requested, grace: milliseconds) }
          } else {
            poller.remove(link.rawDescriptor)
          }
        }
      }
      if !reapAll() { break }
      lookAtDirectory(lock)
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
    let began = Self.processorTime()
    // What cannot be seen now (no descriptors left on the machine) is looked at again: no limit is passed unseen for long.
    let next = (try? sample()) ?? Sample(slowest: Self.slowestSample)
    sampleInterval = min(sampleInterval * 2, next.slowest)
    let factor = next.isNearLimit ? Self.costFactorNearLimit : Self.costFactor
    nextSample = clock.now + max(sampleInterval, (Self.processorTime() - began - next.recordCost) * factor)
  }

  /// What was seen, for the time of the next one.
  private struct Sample {
    var slowest: Duration
    var isNearLimit = false
    /// What a look at every page for the record took, which has its own wait: it delays no look for a limit.
    var recordCost = Duration.zero
  }

  private mutating func sample() throws(SystemError) -> Sample {
    let all = try ProcessTable.descendants(of: ProcessTable.ownPID, withEnded: true)
    let tree = all.filter { !$0.isDead }
    if case .terminating = phase, termination != nil { terminateLatecomers(tree) }
    let limit = launch.memoryLimitBytes
    let memory = try ProcessTable.memory(of: tree)
    var bytes = memory.most
    // Processes that were forked have pages in common, which that counts once for each. Nobody is ended for those, and
    // nobody is remembered for them.
    let isOverLimit = limit > 0 && bytes > limit
    let isVague = memory.isVague && bytes > peakBytes
    var recordCost = Duration.zero
    if tree.count > 1, isOverLimit || isVague && clock.now >= nextExactLook {
      let began = Self.processorTime()
      bytes = min(bytes, try ProcessTable.exactMemoryBytes(of: tree))
      let cost = Self.processorTime() - began
      nextExactLook = clock.now + cost * Self.exactCostFactor
      if !isOverLimit { recordCost = cost }
      peakBytes = max(peakBytes, bytes)
    } else {
      peakBytes = max(peakBytes, isVague ? memory.least : bytes)
    }
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
    var next = Sample(slowest: Self.slowestSample, recordCost: recordCost)
    if limit > 0 {
      if bytes > limit / 2 { next.slowest = Self.watchfulSample }
      next.isNearLimit = bytes > limit - limit / 4
    }
    if let most = launch.processesLimit, most > 0 {
      // Processes double in less time than it takes to write this.
      next.slowest = Self.shortestSample
      next.isNearLimit = next.isNearLimit || tree.count > most - most / 4
    }
    return next
  }

  /// Of this process, which has one thread.
  private static func processorTime() -> Duration {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  private mutating func lookAtDirectory(_ lock: borrowing Descriptor) {
    guard clock.now >= nextLookAtDirectory else { return }
    nextLookAtDirectory = clock.now + Self.directoryInterval
    guard case .running = phase, lock.isUnlinked() else { return }
    terminate(.directoryRemoved, grace: .milliseconds(launch.graceMilliseconds))
  }

  /// What the tree takes beyond a limit of its own, as a sentence. What ended and was not collected took its time too.
  private func excess(_ tree: [ProcessTable.Status], _ all: [ProcessTable.Status]) -> String? {
    if let allowed = launch.processesLimit, allowed > 0, tree.count > allowed {
      return "\(tree.count) processes ran at once, beyond its limit of \(allowed); it was ended"
    }
    if let allowed = launch.cpuLimitSeconds, allowed > 0 {
      let ticks = all.reduce(0) { $0 + $1.processorTicks }
      let used = cpuSeconds + Double(ticks) / ProcessTable.ticksPerSecond
      if used > allowed {
        let figures = "\((used * 100).rounded() / 100) s of processor time were used, beyond its limit of \(allowed) s"
        return figures + "; it was ended"
      }
    }
    return nil
  }

  var cpuSeconds: Double { OwnChildren.cpuSeconds - cpuSecondsBefore }

  private func tree() -> ProcessTable.Look { ProcessTable.look(below: ProcessTable.ownPID) }

  // MARK: ending

  /// May come again with a shorter grace; a longer one changes nothing.
  private mutating func end(_ reason: Reason, grace milliseconds: Int64?) {
    let grace = Duration.milliseconds(max(0, milliseconds ?? launch.graceMilliseconds))
    switch phase {
    case .running: terminate(reason, grace: grace)
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
    tellToEnd()
  }

  /// Again where not all of them could be seen, or reached: a second SIGTERM does no harm.
  private mutating func tellToEnd() {
    let tree = tree()
    var failure = tree.failure
    for number in [SIGTERM, SIGCONT] {
      // One that is stopped would not see the first. To the same ones: who came in between has been told nothing yet,
      // and is a latecomer.
      for process in tree.processes {
        do throws(SystemError) { try signal(process, number) } catch { failure = error }
      }
    }
    signalIsOwed = failure != nil
  }

  /// What was forked while the signal went round. Not before the entrypoint has ended: until then it may be cleaning up
  /// after itself with new processes.
  private mutating func terminateLatecomers(_ tree: [ProcessTable.Status]) {
    for process in tree where !signalled.contains(process.identity) { try? signal(process, SIGTERM) }
  }

  private mutating func advance() {
    switch phase {
    case .running: break
    case .terminating(let reason, let since, let deadline):
      guard clock.now >= deadline else {
        if signalIsOwed { tellToEnd() }
        return
      }
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
        // Of what is kept from this process it cannot be seen whether it is stopped.
        let moving = tree().processes.filter { $0.state != UInt8(ascii: "T") && !$0.isKept }
        if moving.isEmpty { break }
        stopGroups(of: moving)
        for process in moving { try? signal(process, SIGSTOP) }
      }
    }
    let tree = tree()
    // Not all can be seen now. The entrypoint's group can be reached all the same; the rest in a later pass.
    if tree.failure != nil, termination == nil { _ = Glibc.kill(-entrypoint.pid, SIGKILL) }
    for process in tree.processes { try? signal(process, SIGKILL) }
  }

  /// Sessions that began below this process have groups of descendants only; a member that was just seen keeps the
  /// number from being another's.
  private func stopGroups(of processes: [ProcessTable.Status]) {
    let own = getpgrp()
    for group in Set(processes.map(\.group)) where group != own && group > 1 { _ = Glibc.kill(-group, SIGSTOP) }
  }

  private mutating func signal(_ process: ProcessTable.Status, _ number: Int32) throws(SystemError) {
    try ProcessReference.signal(process, number)
    signalled.insert(process.identity)
  }
}
