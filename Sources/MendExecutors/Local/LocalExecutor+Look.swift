internal import Glibc
internal import MendCore
internal import Synchronization

/// What an attempt's processes had used at a time.
struct ProcessLook: Sendable {
  var at: ContinuousClock.Instant
  var cpuSeconds: Double
}

extension LocalExecutor {
  /// Reports what an attempt's processes do; nothing if they have ended or cannot be seen now.
  func lookNow(at key: AttemptKey) {
    guard case .watched(let attempt) = state.withLock({ $0.attempts[key] }),
      let all = try? ProcessTable.descendants(of: attempt.process.identity.pid, withEnded: true)
    else { return }
    let look = ProcessLook(
      at: ContinuousClock().now,
      cpuSeconds: Double(all.reduce(0) { $0 + $1.processorTicks }) / ProcessTable.ticksPerSecond)
    withWatched(key, attempt.generation) { $0.lastLook = look }
    let tree = all.filter { !$0.isDead }
    guard let newest = tree.max(by: { ($0.startTicks, $0.pid) < ($1.startTicks, $1.pid) }) else { return }
    // Processes that ended and were collected take their time with them.
    let recently = attempt.lastLook.map { before in
      ProcessActivity.Recent(
        cpuSeconds: ((max(0, look.cpuSeconds - before.cpuSeconds)) * 100).rounded() / 100,
        seconds: (Double((look.at - before.at).milliseconds) / 10).rounded() / 100)
    }
    emit(
      .looked(
        key,
        ProcessActivity(
          at: Instant(milliseconds: FileSystem.wallClockMilliseconds()), state: summary(of: tree, recently),
          processes: tree.count, cpuSeconds: look.cpuSeconds, recently: recently,
          newest: ProcessActivity.Process(
            pid: Int64(newest.pid), state: newest.activity,
            commandLine: commandLine(of: newest.pid, key)))))
  }

  /// Returns a command in one line, with the values of the job's variables replaced by their names: they may be secret.
  private func commandLine(of pid: Int32, _ key: AttemptKey) -> String {
    let environment = (try? directory(of: key).read(AttemptRecords.launch))??.environment ?? [:]
    return CommandLineText.text((try? ProcessTable.arguments(of: pid)) ?? [], hiding: environment)
  }

  /// Summarizes a tree, by the processor time since the last look if possible: most processes wait at any moment.
  private func summary(
    of tree: [ProcessTable.Status], _ recently: ProcessActivity.Recent?
  ) -> ProcessActivity.State {
    if let recently, recently.cpuSeconds > recently.seconds * Self.computingShare { return .computing }
    if tree.allSatisfy({ $0.activity == .stopped }) { return .stopped }
    if recently == nil, tree.contains(where: { $0.activity == .computing }) { return .computing }
    // Who waits for one that is stopped waits in vain.
    return tree.contains { $0.activity == .stopped } ? .stopped : .waiting
  }

  /// The share of a processor above which a tree counts as computing.
  private static let computingShare = 0.1
}

extension ProcessTable.Status {
  fileprivate var activity: ProcessActivity.State {
    switch state {
    case UInt8(ascii: "R"): .computing
    case UInt8(ascii: "T"), UInt8(ascii: "t"): .stopped
    default: .waiting
    }
  }
}
