/// What an attempt's processes did when somebody looked: waiting, computing and stopped are different diseases.
package struct ProcessActivity: Hashable, Codable, Sendable {
  package enum State: String, Hashable, Codable, Sendable {
    case computing
    case waiting
    /// By a signal, or a debugger.
    case stopped
  }

  package var at: Instant
  package var state: State
  package var processes: Int
  /// Of all of them, since they began.
  package var cpuSeconds: Double
  /// Since the look before this one, and how long ago that was; nil at the first.
  package var recently: Recent?
  /// The newest of them, which is most often the one that the others wait for.
  package var newest: Process

  package struct Recent: Hashable, Codable, Sendable {
    package var cpuSeconds: Double
    package var seconds: Double

    package init(cpuSeconds: Double, seconds: Double) {
      self.cpuSeconds = cpuSeconds
      self.seconds = seconds
    }
  }

  package struct Process: Hashable, Codable, Sendable {
    package var pid: Int64
    package var state: State
    /// Its beginning, at most `commandLineLength` characters.
    package var commandLine: String

    package init(pid: Int64, state: State, commandLine: String) {
      self.pid = pid
      self.state = state
      self.commandLine = String(commandLine.prefix(ProcessActivity.commandLineLength))
    }
  }

  package static let commandLineLength = 200

  package init(
    at: Instant, state: State, processes: Int, cpuSeconds: Double, recently: Recent?, newest: Process
  ) {
    self.at = at
    self.state = state
    self.processes = processes
    self.cpuSeconds = cpuSeconds
    self.recently = recently
    self.newest = newest
  }
}

extension ProcessActivity {
  /// `2 processes wait: 0 s of processor time in the last 4 s; the newest, pid 17, waits: sleep 1000`
  var evidence: Evidence {
    let verb =
      switch state {
      case .computing: processes == 1 ? "computes" : "compute"
      case .waiting: processes == 1 ? "waits" : "wait"
      case .stopped: processes == 1 ? "is stopped" : "are stopped"
      }
    let time =
      recently.map {
        "\(Figures.number($0.cpuSeconds)) s of processor time in the last \(Figures.number($0.seconds)) s"
      }
      ?? "\(Figures.number(cpuSeconds)) s of processor time so far"
    let newestVerb =
      switch newest.state {
      case .computing: "computes"
      case .waiting: "waits"
      case .stopped: "is stopped"
      }
    var values = [
      "process_state": state.rawValue, "processes": "\(processes)", "cpu_seconds": Figures.number(cpuSeconds),
      "newest_pid": "\(newest.pid)", "newest_state": newest.state.rawValue, "newest_command": newest.commandLine,
    ]
    if let recently {
      values["recent_cpu_seconds"] = Figures.number(recently.cpuSeconds)
      values["recent_seconds"] = Figures.number(recently.seconds)
    }
    return Evidence(
      "\(processes == 1 ? "1 process" : "\(processes) processes") \(verb): \(time); the newest, pid \(newest.pid), "
        + "\(newestVerb): \(newest.commandLine)",
      by: .executor, at: at, values: values)
  }
}
