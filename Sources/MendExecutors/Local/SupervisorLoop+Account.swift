internal import MendCore

extension SupervisorLoop {
  func account() -> ExitAccount {
    ExitAccount(
      termination: termination ?? .init(kind: .unknown, message: "its exit status was not seen"),
      atMilliseconds: FileSystem.wallClockMilliseconds(), peakMemoryBytes: peakBytes,
      memoryLimitBytes: launch.memoryLimitBytes, memoryLimitExceeded: limitPassedAt != nil,
      memoryLimitExceededAtMilliseconds: limitPassedAt, lastStderrLine: error.lastLine.text,
      cpuSeconds: cpuSeconds,
      receipt: ExitAccount.Receipt(processes: signalled.count, how: how), wasAskedToEnd: wasAskedToEnd ? true : nil,
      limitExceeded: limitExceeded ?? saidLimit)
  }

  /// The system refuses open files by itself; what came of it is only in the entrypoint's own words.
  private var saidLimit: ExitAccount.LimitExceeded? {
    guard let allowed = launch.openFilesLimit, allowed > 0, termination?.kind == .exited, termination?.number != 0,
      error.lastLine.text.contains("Too many open files")
    else { return nil }
    return ExitAccount.LimitExceeded(
      text: "a process needed more than its limit of \(allowed) open files, according to its last line: "
        + error.lastLine.text, isMeasured: false)
  }

  private var wasAskedToEnd: Bool {
    switch phase {
    case .terminating(.signalled, _, _), .killing(.signalled, _): true
    case .running, .terminating, .killing: false
    }
  }

  private var how: String {
    switch phase {
    case .running: "ended by itself"
    case .terminating(.leftBehind, _, _): "left running by the entrypoint: SIGTERM"
    case .killing(.leftBehind, _): "left running by the entrypoint: SIGTERM, then SIGKILL"
    case .terminating(.directoryRemoved, _, _): "its directory was removed: SIGTERM"
    case .killing(.directoryRemoved, _): "its directory was removed: SIGTERM, then SIGKILL"
    case .terminating: "SIGTERM"
    case .killing(.memoryLimit, _): "SIGKILL over the memory limit"
    case .killing(.limit, _): "SIGKILL over a limit"
    case .killing(.requested, let time), .killing(.signalled, let time): killedAfter(time)
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
