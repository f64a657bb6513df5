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
  let clock = ContinuousClock()
  /// Of attempts that this process had before.
  private let cpuSecondsBefore = OwnChildren.cpuSeconds

  var phase = Phase.running
  var termination: ExitAccount.Termination?
  private var mayReapMore = false
  var peakBytes: Int64 = 0
  var limitPassedAt: Int64?
  var limitExceeded: ExitAccount.LimitExceeded?
  /// Everything that got a signal, once: what the receipt counts.
  var signalled: Set<ProcessIdentity> = []
  var nextSample: ContinuousClock.Instant
  var sampleInterval = Self.firstSample
  /// When pages in common are looked at again, for the record alone.
  var nextExactLook: ContinuousClock.Instant
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

  private static let directoryInterval: Duration = .seconds(1)
  /// What an entrypoint left running when it ended gets to end by itself.
  private static let leftBehindGrace: Duration = .milliseconds(500)
  private static let killInterval: Duration = .milliseconds(2)
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

  private mutating func lookAtDirectory(_ lock: borrowing Descriptor) {
    guard clock.now >= nextLookAtDirectory else { return }
    nextLookAtDirectory = clock.now + Self.directoryInterval
    guard case .running = phase, lock.isUnlinked() else { return }
    terminate(.directoryRemoved, grace: .milliseconds(launch.graceMilliseconds))
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
  mutating func terminateLatecomers(_ tree: [ProcessTable.Status]) {
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
  mutating func kill() {
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
