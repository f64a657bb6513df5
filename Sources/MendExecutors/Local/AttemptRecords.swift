internal import MendCore

/// What the server tells the supervisor. Holds the attempt's token, so it is for its owner's eyes only.
struct LaunchRecord: Codable, Hashable, Sendable {
  /// The first is an absolute path.
  var arguments: [String]
  /// All of it; nothing is inherited.
  var environment: [String: String]
  var workDirectory: String
  /// Bytes of the whole tree; 0 is no limit.
  var memoryLimitBytes: Int64
  /// Kept of stdout and of stderr, each.
  var logLimitBytes: Int
  /// Between SIGTERM and SIGKILL where the request to end names none.
  var graceMilliseconds: Int64
  /// Of the whole tree; nil and 0 are no limit, as in what follows.
  var cpuLimitSeconds: Double?
  /// Of each process.
  var openFilesLimit: Int?
  /// Of the whole tree at once, the built-in worker counted.
  var processesLimit: Int?
  /// nil: the supervisor's own.
  var account: AttemptAccount?
  /// In which it was written.
  var bootID: String?
  /// Whose attempt it is (`ServerIdentity.id`); nil where the data directory has no name.
  var server: String?
  /// Of each process, which it may raise by itself up to what the system allows; for those without `openFilesLimit`.
  var softOpenFilesLimit: Int?

  enum CodingKeys: String, CodingKey {
    case arguments, environment, account, server
    case softOpenFilesLimit = "soft_open_files_limit"
    case cpuLimitSeconds = "cpu_limit_seconds"
    case openFilesLimit = "open_files_limit"
    case processesLimit = "processes_limit"
    case workDirectory = "work_directory"
    case bootID = "boot_id"
    case memoryLimitBytes = "memory_limit_bytes"
    case logLimitBytes = "log_limit_bytes"
    case graceMilliseconds = "grace_ms"
  }
}

/// How long the tree may take after SIGTERM: `end.json`.
struct EndRequest: Codable, Hashable, Sendable {
  var graceMilliseconds: Int64
  enum CodingKeys: String, CodingKey { case graceMilliseconds = "grace_ms" }
}

/// The durable account of an attempt's end.
struct ExitAccount: Codable, Hashable, Sendable {
  var termination: Termination
  /// Since the epoch.
  var atMilliseconds: Int64
  var peakMemoryBytes: Int64
  var memoryLimitBytes: Int64
  var memoryLimitExceeded: Bool
  /// When the limit was passed.
  var memoryLimitExceededAtMilliseconds: Int64?
  /// At most `LastStderrLine.limit` bytes.
  var lastStderrLine: String
  var cpuSeconds: Double
  var receipt: Receipt
  /// SIGTERM came to the supervisor, not from the server. Earlier supervisors said so of the server's own requests too.
  var wasAskedToEnd: Bool?
  /// Of the limits but memory's.
  var limitExceeded: LimitExceeded?
  /// The machine went down under it: another boot than the one that it was started in.
  var machineRestarted: Bool?

  /// What was used, and what was allowed, in words with figures.
  struct LimitExceeded: Codable, Hashable, Sendable {
    var text: String
    /// It was measured and ended; else what the entrypoint itself said last is all there is.
    var isMeasured: Bool
    enum CodingKeys: String, CodingKey {
      case text
      case isMeasured = "is_measured"
    }
  }

  struct Termination: Codable, Hashable, Sendable {
    enum CodingKeys: String, CodingKey { case kind, number, message }
    var kind: Kind
    /// Exit code or signal number.
    var number: Int32?
    var message: String?
    enum Kind: String, Codable { case exited, signalled, notStarted = "not_started", unknown }
  }

  struct Receipt: Codable, Hashable, Sendable {
    enum CodingKeys: String, CodingKey { case processes, how }
    var processes: Int
    var how: String
  }

  enum CodingKeys: String, CodingKey {
    case termination
    case atMilliseconds = "at_ms"
    case peakMemoryBytes = "peak_memory_bytes"
    case memoryLimitBytes = "memory_limit_bytes"
    case memoryLimitExceeded = "memory_limit_exceeded"
    case memoryLimitExceededAtMilliseconds = "memory_limit_exceeded_at_ms"
    case lastStderrLine = "last_stderr_line"
    case cpuSeconds = "cpu_seconds"
    case receipt
    case wasAskedToEnd = "was_asked_to_end"
    case limitExceeded = "limit_exceeded"
    case machineRestarted = "machine_restarted"
  }
}

extension ExitAccount {
  /// For an attempt whose supervisor left no account.
  static func unknown(_ message: String, receipt: Receipt, memoryLimitBytes: Int64) -> ExitAccount {
    ExitAccount(
      termination: Termination(kind: .unknown, message: message), atMilliseconds: FileSystem.wallClockMilliseconds(),
      peakMemoryBytes: 0, memoryLimitBytes: memoryLimitBytes, memoryLimitExceeded: false, lastStderrLine: "",
      cpuSeconds: 0, receipt: receipt)
  }

  /// For an attempt that went with its machine, at a time that nobody knows.
  static func machineRestarted(memoryLimitBytes: Int64) -> ExitAccount {
    let how = "the machine was restarted"
    var exit = unknown(how, receipt: Receipt(processes: 0, how: how), memoryLimitBytes: memoryLimitBytes)
    exit.machineRestarted = true
    return exit
  }

  var record: ExitRecord {
    ExitRecord(
      termination: termination.value, at: Instant(milliseconds: atMilliseconds), peakMemoryBytes: peakMemoryBytes,
      memoryLimitBytes: memoryLimitBytes, memoryLimitExceeded: memoryLimitExceeded, lastStderrLine: lastStderrLine,
      cpuSeconds: cpuSeconds, finding: finding)
  }

  private var finding: ExitRecord.Finding? {
    if machineRestarted == true {
      return ExitRecord.Finding(
        cause: .nodeFailure, confidence: .high,
        text: "the machine was restarted while it ran: the boot id has changed since its start")
    }
    if let limit = limitExceeded {
      return ExitRecord.Finding(
        cause: .resourceLimit, confidence: limit.isMeasured ? .high : .medium, text: limit.text)
    }
    // What is started is this machine's shell or Mend's own worker: what the author named is found, or not, by those.
    if termination.kind == .notStarted {
      return ExitRecord.Finding(
        cause: .environmentSetup, confidence: .high,
        text: "nothing could be started for it on this machine: \(termination.message ?? "")")
    }
    // Counts only where the server had not asked for the end itself, which earlier supervisors did not tell apart.
    guard wasAskedToEnd == true else { return nil }
    return ExitRecord.Finding(
      cause: .preemption, confidence: .medium,
      text: "its supervisor was told to end (SIGTERM), not by the server: by hand, or at the machine's shutdown")
  }
}

extension ExitAccount.Receipt {
  var value: EndReceipt { EndReceipt(processes: processes, how: how) }
}

extension ExitAccount.Termination {
  var value: ExitRecord.Termination {
    switch kind {
    case .exited: .exited(number ?? 0)
    case .signalled: .signalled(number ?? 0)
    case .notStarted: .notStarted(message ?? "")
    case .unknown: .unknown(message ?? "")
    }
  }
}
