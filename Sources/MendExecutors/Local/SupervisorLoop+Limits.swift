internal import Glibc
internal import MendCore

/// What a supervisor measures of its attempt, and what it ends the attempt for: memory, processor time, processes.
extension SupervisorLoop {
  /// Short lives are measured too: samples start close together and grow apart.
  static let firstSample: Duration = .milliseconds(5)
  private static let slowestSample: Duration = .milliseconds(50)
  /// Above half of the memory limit, where it costs little.
  private static let watchfulSample: Duration = .milliseconds(25)
  /// So many times as long as a sample takes is the wait for the next: 5 % of a CPU; where a limit is near, half of one.
  private static let costFactor = 20
  private static let costFactorNearLimit = 2
  /// The same for looks at every page, beside those that a limit asks for: 2.5 % of a CPU.
  private static let exactCostFactor = 40
  private static let shortestSample: Duration = .milliseconds(10)

  mutating func sampleIfDue() {
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
}
