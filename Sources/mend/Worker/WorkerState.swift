import Glibc
import MendAPI
import MendClient

/// The decisions of the built-in worker: a pure step from an event to actions. Time is an argument.
///
/// Documents that are claimed when an attempt dies fail with it. So the worker first claims one document for each free
/// slot, and only after successes a few more in advance, if commands are quick, so that they do not wait for claims.
/// Results are kept until the server has accepted them. While the server is unreachable, work continues until the
/// claimed documents are done.
struct WorkerState {
  enum Event: Sendable {
    case claimed([Document], finished: Bool, retryAfter: Double)
    /// `isAnswered`: the server refused; else it is unknown whether it accepted the call.
    case claimFailed(WorkerFault)
    case ended(Document, CommandResult)
    case reported(stop: Bool)
    case reportFailed(WorkerFault)
    case tick
    case terminated
  }

  /// Why a call failed, as far as the worker needs to know.
  enum WorkerFault: Sendable, Hashable {
    /// It may succeed later. `isUncertain`: the server may have accepted it.
    case away(isUncertain: Bool, retryAfter: Double)
    /// The attempt is no longer the current one.
    case fenced(String)
    /// The server will always refuse.
    case refused(String)
  }

  enum Action: Sendable {
    /// A claim whose answer was lost is repeated with the same number.
    case claim(maximum: Int32, number: Int)
    case run(Document)
    case report(ReportRequest)
    case signal(Int32)
    case finish(Ending)
  }

  enum Ending: Sendable, Hashable {
    case done
    /// The attempt is being cancelled.
    case stopped
    case fenced(String)
    case refused(String)
    case terminated
  }

  struct Limits: Sendable {
    /// The most commands at once.
    var slots: Int
    /// The longest time without a call to the server.
    var heartbeatSeconds: Double
    var claimMaximum = 1000
    /// The most documents claimed in advance for each slot, and the most seconds of work.
    var aheadPerSlot = 2
    var aheadSeconds = 0.2
    /// Successes that are needed before one more document is claimed in advance.
    var documentsPerAhead = 256
    /// How long results wait for others to be reported together; not longer, because unreported results fail with the
    /// attempt.
    var reportSeconds = 0.02
    /// The time between SIGTERM and SIGKILL if the worker itself ends its commands.
    var graceSeconds = 2.0
    var backoff = Backoff(from: .milliseconds(50), to: .seconds(2))
  }

  private let limits: Limits
  private var jitter: any RandomNumberGenerator & Sendable

  private var queue: [Document] = []
  private var running = 0
  /// The time of one command, as a moving average; 0 before the first.
  private var meanSeconds = 0.0
  private var documentsDone = 0
  private var isCallingForWork = false
  private var isFinished = false
  private var claimNotBefore = 0.0
  private var claimBackoff: Backoff
  /// The size of a claim whose answer was lost: that many documents may be in process without the worker's knowledge.
  private var lostClaim: Int?
  private var lastClaim = 0
  /// The number of answered claims, which numbers the next one.
  private var answeredClaims = 0

  private var results = ReportRequest()
  private var resultCount = 0
  /// The time of all slots with a command, waiting for documents, and waiting for a report. Calls that run beside
  /// commands cost nothing.
  private var processingSeconds = 0.0
  private var loadingSeconds = 0.0
  private var writingSeconds = 0.0
  private var lastStepAt: Double
  private var reportInFlight: ReportRequest?
  private var reports = 0
  private var isReporting = false
  private var lastReportAt: Double
  private var reportNotBefore = 0.0
  private var reportBackoff: Backoff

  private var ending: Ending?
  private var killAt = Double.infinity
  private var isOver = false

  /// - Parameter now: seconds of any monotonic clock.
  init(
    limits: Limits, at now: Double,
    jitter: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
  ) {
    self.limits = limits
    self.jitter = jitter
    lastReportAt = now
    lastStepAt = now
    claimBackoff = limits.backoff
    reportBackoff = limits.backoff
  }

  mutating func step(_ event: Event, at now: Double) -> [Action] {
    guard !isOver else { return [] }
    noteWaiting(until: now)
    var actions: [Action] = []
    switch event {
    case .claimed(let documents, let finished, let retryAfter):
      isCallingForWork = false
      claimBackoff.reset()
      answeredClaims += 1
      lostClaim = nil
      queue += documents
      isFinished = finished
      if documents.isEmpty, !finished { claimNotBefore = now + (retryAfter > 0 ? retryAfter : 1) }
    case .claimFailed(let fault):
      isCallingForWork = false
      if case .away(isUncertain: true, _) = fault { lostClaim = lastClaim }
      if let wait = note(fault, \.claimBackoff, now, &actions) { claimNotBefore = now + wait }
    case .ended(let document, let result):
      running -= 1
      if ending == nil { note(document, result) }
    case .reported(let stop):
      isReporting = false
      reportInFlight = nil
      reportBackoff.reset()
      // Capacity may have become free, or the batch may have ended.
      if lostClaim == nil { claimNotBefore = min(claimNotBefore, now) }
      if stop { end(.stopped, now, &actions) }
    case .reportFailed(let fault):
      isReporting = false
      if let wait = note(fault, \.reportBackoff, now, &actions) { reportNotBefore = now + wait }
    case .tick:
      break
    case .terminated:
      end(.terminated, now, &actions)
    }
    if ending != nil { wind(down: now, &actions) } else { goOn(now, &actions) }
    return actions
  }

  /// When `tick` is due, at the latest.
  func nextTick(at now: Double) -> Double {
    if ending != nil { return killAt }
    var next = isReporting ? Double.infinity : max(reportDue, reportNotBefore)
    if !isCallingForWork, !isFinished || lostClaim != nil {
      next = min(next, claimNotBefore > now ? claimNotBefore : .infinity)
    }
    return next
  }

  // MARK: Work

  private mutating func goOn(_ now: Double, _ actions: inout [Action]) {
    while running < limits.slots, !queue.isEmpty {
      running += 1
      actions.append(.run(queue.removeFirst()))
    }
    if !isCallingForWork, now >= claimNotBefore {
      if let maximum = lostClaim ?? (isFinished ? nil : claimSize) {
        isCallingForWork = true
        lastClaim = maximum
        actions.append(.claim(maximum: Int32(maximum), number: answeredClaims))
      }
    }
    if !isReporting, now >= reportNotBefore, now >= reportDue { report(now, &actions) }
    if isFinished, lostClaim == nil, running == 0, queue.isEmpty, resultCount == 0, reportInFlight == nil {
      isOver = true
      actions.append(.finish(.done))
    }
  }

  /// How many documents to claim now; nil if there are enough.
  private var claimSize: Int? {
    let held = running + queue.count
    let perSlot = meanSeconds > 0 ? min(Double(limits.aheadPerSlot), limits.aheadSeconds / meanSeconds) : 0
    let ahead = min(Int(perSlot * Double(limits.slots)), documentsDone / limits.documentsPerAhead)
    let isLow = held < limits.slots || (ahead > 0 && queue.count * 4 <= ahead)
    let wanted = min(limits.claimMaximum, limits.slots + ahead - held)
    return isLow && wanted > 0 ? wanted : nil
  }

  private var isIdle: Bool { running == 0 && queue.isEmpty }

  /// When the next report is due, regardless of its backoff.
  private var reportDue: Double {
    if reportInFlight != nil { return reportNotBefore }
    if resultCount > 0 { return isIdle ? -.infinity : lastReportAt + limits.reportSeconds }
    return lastReportAt + max(0.05, limits.heartbeatSeconds)
  }

  private mutating func note(_ document: Document, _ result: CommandResult) {
    resultCount += 1
    documentsDone += 1
    processingSeconds += result.seconds
    meanSeconds = meanSeconds == 0 ? result.seconds : meanSeconds * 0.8 + result.seconds * 0.2
    if let failure = Self.failure(document.documentID, result) {
      results.failed.append(failure)
    } else {
      results.completed.append(document.documentID)
    }
  }

  // MARK: Reports

  private mutating func report(_ now: Double, _ actions: inout [Action]) {
    if reportInFlight == nil {
      // Not with a heartbeat alone: it would look like progress.
      if resultCount > 0 { results.stageTimings = takeStages() }
      // It is repeated with the same id until it is answered, and counts once.
      reports += 1
      results.reportID = String(reports)
      reportInFlight = results
      results = ReportRequest()
      resultCount = 0
    }
    guard let request = reportInFlight else { return }
    isReporting = true
    lastReportAt = now
    actions.append(.report(request))
  }

  private mutating func noteWaiting(until now: Double) {
    let idleSeconds = max(0, now - lastStepAt) * Double(limits.slots - running)
    lastStepAt = now
    if isCallingForWork {
      loadingSeconds += idleSeconds
    } else if isReporting, running == 0 {
      writingSeconds += idleSeconds
    }
  }

  private mutating func takeStages() -> [StageTiming] {
    let stages = [("loading", loadingSeconds), ("processing", processingSeconds), ("writing", writingSeconds)]
    loadingSeconds = 0
    processingSeconds = 0
    writingSeconds = 0
    return stages.filter { $0.1 > 0 }.map { name, seconds in
      var timing = StageTiming()
      timing.name = name
      timing.durationSeconds = seconds
      return timing
    }
  }

  /// Nil if the document is completed. Diagnose summarizes by these codes.
  static func failure(_ documentID: String, _ result: CommandResult) -> DocumentFailure? {
    var failure = DocumentFailure()
    failure.documentID = documentID
    let line = result.lastErrorLine
    switch result.termination {
    case .exited(0):
      return nil
    case .exited(let code):
      failure.code = code == 126 || code == 127 ? "entrypoint_not_found" : "exit_code"
      failure.message = line.isEmpty ? "exit code \(code)" : line
      failure.details = ["exit_code": String(code)]
      failure.details["size_bytes"] = result.notableInputBytes.map { String($0) }
      // The command failed on a file that could not be read.
      if let input = Self.code(ofInputFailure: result.inputFailure) {
        failure.code = input
        if line.isEmpty { failure.message = "the file cannot be read: \(Standard.systemError(result.inputFailure))" }
      }
    case .signalled(let signal):
      failure.code = "signal"
      failure.message = line.isEmpty ? "ended by signal \(signal)" : line
      failure.details = ["signal": String(signal)]
      failure.details["size_bytes"] = result.notableInputBytes.map { String($0) }
    case .notStarted(let number):
      failure.code = "entrypoint_not_found"
      failure.message = "/bin/sh could not be started: \(Standard.systemError(number))"
      failure.details = ["errno": String(number)]
    }
    return failure
  }

  private static func code(ofInputFailure number: Int32) -> String? {
    switch number {
    case 0: nil
    case ENOENT, ENOTDIR: "file_not_found"
    case EACCES, EPERM: "permission_denied"
    default: "bad_input"
    }
  }

  // MARK: Faults and the end

  /// How long to wait before the next attempt; nil if there is none.
  private mutating func note(
    _ fault: WorkerFault, _ backoff: WritableKeyPath<WorkerState, Backoff>, _ now: Double, _ actions: inout [Action]
  ) -> Double? {
    switch fault {
    case .away(_, let retryAfter):
      var waits = self[keyPath: backoff]
      defer { self[keyPath: backoff] = waits }
      return max(waits.next(using: &jitter) / .seconds(1), retryAfter)
    case .fenced(let message):
      end(.fenced(message), now, &actions)
    case .refused(let message):
      end(.refused(message), now, &actions)
    }
    return nil
  }

  private mutating func end(_ ending: Ending, _ now: Double, _ actions: inout [Action]) {
    guard self.ending == nil else { return }
    self.ending = ending
    switch ending {
    // The caller decides how long they may take: the supervisor, which sent the signal, kills them after that time.
    case .terminated, .stopped, .done: killAt = .infinity
    case .fenced, .refused: killAt = now + limits.graceSeconds
    }
    queue = []
    if running > 0 { actions.append(.signal(15)) }
  }

  /// Waits for the commands that were asked to end; then the worker ends.
  private mutating func wind(down now: Double, _ actions: inout [Action]) {
    if running > 0 {
      if now >= killAt {
        killAt = .infinity
        actions.append(.signal(9))
      }
      return
    }
    guard let ending else { return }
    isOver = true
    actions.append(.finish(ending))
  }
}
