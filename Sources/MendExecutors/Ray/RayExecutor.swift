internal import FoundationEssentials
package import Logging
package import MendCore
import MendRuntime
internal import Synchronization

/// Runs attempts as jobs of a Ray cluster, by its Jobs API.
///
/// Nothing of an attempt is kept here: its submission id is derived from it, so a new executor finds everything again at
/// Ray. A cluster that does not answer fails nothing; it is told as unreachable, and asked on until it answers.
package final class RayExecutor: Executor {
  package struct Settings: Sendable {
    /// Where the Jobs API is: `http://HOST:8265` or `https://...`.
    package var url: String
    /// For a cluster with RAY_AUTH_MODE=token; asked for before each call, so a renewed one needs no restart.
    package var token: @Sendable () -> String?
    /// The server's own; ray.json is kept there.
    package var dataDirectory: String
    /// MEND_ENDPOINT: where workers on Ray's nodes reach the server, HOST:PORT.
    package var workerEndpoint: String
    /// MEND_TOKEN of the attempts, where the server asks its network callers for one. Who can see Ray's jobs sees it.
    package var workerToken: String?
    /// MEND_TLS_CA of the attempts, where the server speaks TLS: certificates as PEM text, or `system`.
    package var workerAuthorities: String?
    /// What runs a job's `document_command` on a node: the program where it is there, else the Python worker.
    package var workerCommand = """
      if command -v mend >/dev/null 2>&1; then exec mend worker; fi
      if python3 -c 'import mend_ray_worker' 2>/dev/null; then exec python3 -m mend_ray_worker; fi
      echo 'neither the program mend is in the PATH of this node nor the Python module mend_ray_worker in its \
      PYTHONPATH (tools/ray; it needs grpcio)' >&2
      exit 127
      """
    /// Of one call, from its start to the end of its answer.
    package var callTimeout: Duration = .seconds(10)
    package var answerLimitBytes = 64 << 20
    /// What a stopped job has between SIGTERM and SIGKILL; Ray takes it with the submission.
    package var grace: Duration = .seconds(10)
    /// What the cluster has is observed as soon as it answers, and whenever it has changed, made into what it is to count
    /// as. Nil: it counts for nothing here.
    package var announcesCapacity: (@Sendable (Capacity) -> Capacity)?
    package var logger: Logger
    var attempts = RayAttempts.Settings()
    var logs = RayLogs.Settings()

    package init(
      url: String, token: @escaping @Sendable () -> String? = { nil }, dataDirectory: String, workerEndpoint: String,
      workerToken: String? = nil,
      logger: Logger
    ) {
      self.url = url
      self.token = token
      self.dataDirectory = dataDirectory
      self.workerEndpoint = workerEndpoint
      self.workerToken = workerToken
      self.logger = logger
    }
  }

  /// Why an executor cannot be set up.
  package struct SetupError: Error, Sendable, CustomStringConvertible {
    package var description: String
  }

  package let kind = ExecutorKind.ray
  package static let traits = {
    var traits = ExecutorTraits()
    traits.title = "Ray"
    traits.isSupervised = false
    traits.enforcesAttemptLimits = false
    traits.startsFromZero = true
    traits.endCommand = "ray job stop"
    return traits
  }()
  let settings: Settings
  let jobs: any RayJobs
  /// What a verdict on a job needs besides the job, shared by all jobs that are looked at then.
  let cluster: SharedAnswer<(session: String?, nodes: [RayNode]?)>
  let logs: RayLogs
  let installation: String
  private let wakeup = Wakeup()
  let clock = ContinuousClock()
  private let state: Mutex<State>

  private struct State {
    enum Phase { case idle, running, stopped }
    var phase = Phase.idle
    var attempts: RayAttempts
    var record: RayRecord
    /// Answers that were not taken in yet, in the order in which they came.
    var answers: [RayAttempts.Answer] = []
    /// What is known without asking Ray.
    var news: [Observation] = []
    var underWay = 0
  }

  package convenience init(_ settings: Settings) throws(SetupError) {
    let base = try Self.base(of: settings.url)
    let transport = HTTPRayTransport(
      base: base, token: settings.token, timeout: settings.callTimeout, answerLimitBytes: settings.answerLimitBytes)
    try self.init(settings, RayClient(transport))
  }

  init(_ settings: Settings, _ jobs: any RayJobs) throws(SetupError) {
    self.settings = settings
    self.jobs = jobs
    cluster = SharedAnswer {
      async let version = try? jobs.version()
      async let nodes = try? jobs.nodes()
      return (await version?.sessionName, await nodes)
    }
    logs = RayLogs(settings.logs)
    let record: RayRecord
    do {
      _ = try FileSystem.createDirectory(settings.dataDirectory)
      if let known = try RayRecord.read(in: settings.dataDirectory) {
        record = known
      } else {
        record = .make()
        try record.write(in: settings.dataDirectory)
      }
    } catch let error as SetupError {
      throw error
    } catch {
      throw SetupError(description: "the Ray executor cannot be set up: \(error)")
    }
    installation = record.installation
    let now = ContinuousClock().now
    var attempts = RayAttempts(settings: settings.attempts, installation: installation, at: now)
    for batch in record.forgottenBatches { attempts.forget(batch, at: now) }
    state = Mutex(State(attempts: attempts, record: record))
  }

  private static func base(of text: String) throws(SetupError) -> String {
    guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), ["http", "https"].contains(scheme),
      url.host(percentEncoded: false)?.isEmpty == false, url.user == nil, url.query == nil, url.fragment == nil
    else {
      throw SetupError(description: "'\(text)' is not a Jobs API address, such as http://HOST:PORT")
    }
    return text.hasSuffix("/") ? String(text.dropLast()) : text
  }

  /// What the cluster's live nodes have together; what it had when it was last asked, where it does not answer now.
  package func capacity() async throws(SetupError) -> Capacity {
    do throws(RayError) {
      return try await askCapacity()
    } catch {
      guard let knownCapacity else {
        throw SetupError(
          description:
            "Ray at \(settings.url) does not say what it has: \(error). See to that first, or serve with --cpus "
            + "and --memory")
      }
      settings.logger.warning(
        "Ray does not answer; its last known capacity is used", metadata: ["error": "\(error)"])
      return knownCapacity
    }
  }

  /// What the cluster had when it was last asked; nil before it ever was.
  package var knownCapacity: Capacity? { state.withLock { $0.record.capacity } }

  private func askCapacity() async throws(RayError) -> Capacity {
    let capacity = RayNode.capacity(of: try await jobs.nodes())
    let record = state.withLock { state in
      state.record.setCapacity(capacity)
      return state.record
    }
    try? record.write(in: settings.dataDirectory)
    return capacity
  }

  // MARK: the port

  /// Once per executor; a second call returns at once. After cancellation nothing is asked or observed any more; what
  /// runs goes on running.
  package func run(sink: @escaping @Sendable (Observation) -> Void) async {
    let begins = state.withLock { state in
      guard state.phase == .idle else { return false }
      state.phase = .running
      return true
    }
    guard begins else { return }
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled {
        let turn = takeTurn()
        for observation in turn.observations { sink(observation) }
        for remark in turn.remarks { log(remark) }
        if let record = turn.record { try? record.write(in: settings.dataDirectory) }
        logs.clean()
        for call in turn.calls { group.addTask { await self.make(call) } }
        await wakeup.wait(until: turn.wakeAt)
      }
      group.cancelAll()
    }
    state.withLock { $0.phase = .stopped }
  }

  package func launch(
    _ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]
  ) {
    // A worker on another node has no file of this machine's: it claims its documents.
    guard let submission = submission(attempt, launch) else {
      let message =
        "\(Self.runtimeName) in its environment is not a JSON object such as {\"pip\": [\"pypdf\"]}, or "
        + "\(Self.resourcesName) not one such as {\"TPU\": 4}"
      state.withLock { $0.news.append(.launchFailed(attempt, .environmentSetup, message: message)) }
      return wakeup.set()
    }
    change { $0.launch(attempt, submission, fence: RayMetadata.mark(of: launch.token), at: $1) }
  }

  package func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    let id = handle?.reference ?? RaySubmissionID.make(attempt)
    change { $0.adopt(attempt, id: id, fence: RayMetadata.mark(of: launch.token), at: $1) }
  }

  /// Ray's own grace is a part of the submission (`Settings.grace`); a worker learns of the end sooner, from the answer
  /// to its next report.
  package func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    let id = handle?.reference ?? RaySubmissionID.make(attempt)
    change { $0.end(attempt, id: id, at: $1) }
  }

  /// Nothing is ended but what has this server's metadata: the look before the stop makes sure.
  package func endStray(_ attempt: AttemptKey, reference: String) {
    change { $0.end(attempt, id: reference, at: $1, isStray: true) }
  }

  /// Their records at Ray go too, with the logs that hang on them.
  package func forget(_ batch: BatchKey) { change { $0.forget(batch, at: $1) } }

  // MARK: calls

  /// It has not ended, as far as is known here.
  func isWatched(_ id: String) -> Bool { state.withLock { $0.attempts.entries[id] != nil } }

  private func change(_ body: (inout RayAttempts, ContinuousClock.Instant) -> Void) {
    let now = clock.now
    state.withLock { state in
      if state.phase != .stopped { body(&state.attempts, now) }
    }
    wakeup.set()
  }

  private struct Turn {
    var observations: [Observation]
    var calls: [RayAttempts.Call]
    var wakeAt: ContinuousClock.Instant
    var remarks: [RayAttempts.Remark]
    /// To be written, where it has changed.
    var record: RayRecord?
  }

  private func takeTurn() -> Turn {
    let now = clock.now
    let wallClock = Instant(milliseconds: FileSystem.wallClockMilliseconds())
    return state.withLock { state in
      var observations = state.news
      state.news = []
      for answer in state.answers { observations += state.attempts.take(answer, at: now, wallClock: wallClock) }
      state.answers = []
      let capacity = takeCapacity(&observations)
      let (calls, wakeAt) = state.attempts.next(at: now, underWay: state.underWay)
      state.underWay += calls.count
      var turn = Turn(
        observations: observations, calls: calls, wakeAt: wakeAt, remarks: state.attempts.takeRemarks())
      let forgotten = state.attempts.takeForgotten()
      if let forgotten { state.record.setForgotten(forgotten) }
      if let capacity { state.record.setCapacity(capacity) }
      if forgotten != nil || capacity != nil { turn.record = state.record }
      return turn
    }
  }

  /// What the cluster itself has, of what is observed; there it becomes what it counts as.
  private func takeCapacity(_ observations: inout [Observation]) -> Capacity? {
    var seen: Capacity?
    observations = observations.compactMap { observation in
      guard case .capacity(let capacity) = observation else { return observation }
      seen = capacity
      return settings.announcesCapacity.map { .capacity($0(capacity)) }
    }
    return seen
  }

  private func log(_ remark: RayAttempts.Remark) {
    switch remark {
    case .capacityUnknown(let error):
      settings.logger.warning(
        "Ray does not say what it has; where nothing else says it, its batches wait until it does, and others run",
        metadata: ["url": "\(settings.url)", "error": "\(error)"])
    case .recordStays(let id, let error):
      settings.logger.warning(
        "the record of a forgotten job stays at Ray, which does not delete it",
        metadata: ["job": "\(id)", "error": "\(error)"])
    case .forgottenInVain(let batch):
      settings.logger.warning(
        "too many batches are forgotten at once; the records of their jobs stay at Ray",
        metadata: ["first": "\(batch.batchID)"])
    }
  }

  private func make(_ call: RayAttempts.Call) async {
    let answer = await answer(to: call)
    state.withLock { state in
      state.underWay -= 1
      state.answers.append(answer)
    }
    wakeup.set()
  }
}
