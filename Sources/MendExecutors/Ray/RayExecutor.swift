internal import FoundationEssentials
public import Logging
public import MendCore
public import MendRuntime
internal import Synchronization

/// Runs attempts as jobs of a Ray cluster, by its Jobs API.
///
/// Nothing of an attempt is kept here: its submission id is derived from it, so a new executor finds everything again at
/// Ray. A cluster that does not answer fails nothing; it is told as unreachable, and asked on until it answers.
public final class RayExecutor: Executor {
  public struct Settings: Sendable {
    /// Where the Jobs API is: `http://HOST:8265` or `https://...`.
    public var url: String
    /// For a cluster with RAY_AUTH_MODE=token.
    public var token: String?
    /// The server's own; ray.json is kept there.
    public var dataDirectory: String
    /// MEND_ENDPOINT: where workers on Ray's nodes reach the server, HOST:PORT.
    public var workerEndpoint: String
    /// MEND_TOKEN of the attempts, where the server asks its network callers for one. Who can see Ray's jobs sees it.
    public var workerToken: String?
    /// MEND_TLS_CA of the attempts, where the server speaks TLS: certificates as PEM text, or `system`.
    public var workerAuthorities: String?
    /// What runs a job's `document_command` on a node: the program where it is there, else the Python worker.
    public var workerCommand = """
      if command -v mend >/dev/null 2>&1; then exec mend worker; fi
      if python3 -c 'import mend_ray_worker' 2>/dev/null; then exec python3 -m mend_ray_worker; fi
      echo 'neither the program mend is in the PATH of this node nor the Python module mend_ray_worker in its \
      PYTHONPATH (tools/ray; it needs grpcio)' >&2
      exit 127
      """
    /// Of one call, from its start to the end of its answer.
    public var callTimeout: Duration = .seconds(10)
    public var answerLimitBytes = 64 << 20
    /// Between two questions for the capacity of a cluster that does not answer.
    public var capacityInterval: Duration = .seconds(2)
    /// What a stopped job has between SIGTERM and SIGKILL; Ray takes it with the submission.
    public var grace: Duration = .seconds(10)
    /// Set where nobody waits for `capacity()`: what the cluster has is observed as soon as it answers, made into what it
    /// is to count as.
    public var announcesCapacity: (@Sendable (Capacity) -> Capacity)?
    public var logger: Logger
    var attempts = RayAttempts.Settings()
    var logs = RayLogs.Settings()

    public init(
      url: String, token: String? = nil, dataDirectory: String, workerEndpoint: String, workerToken: String? = nil,
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
  public struct SetupError: Error, Sendable, CustomStringConvertible {
    public var description: String
  }

  public let kind = ExecutorKind.ray
  let settings: Settings
  let jobs: any RayJobs
  let logs: RayLogs
  private let record: RayRecord
  private let wakeup = Wakeup()
  private let clock = ContinuousClock()
  private let state: Mutex<State>

  private struct State {
    enum Phase { case idle, running, stopped }
    var phase = Phase.idle
    var attempts: RayAttempts
    /// Answers that were not taken in yet, in the order in which they came.
    var answers: [RayAttempts.Answer] = []
    /// What is known without asking Ray.
    var news: [Observation] = []
    var underWay = 0
  }

  public convenience init(_ settings: Settings) throws(SetupError) {
    let base = try Self.base(of: settings.url)
    let transport = HTTPRayTransport(
      base: base, token: settings.token, timeout: settings.callTimeout, answerLimitBytes: settings.answerLimitBytes)
    try self.init(settings, RayClient(transport))
  }

  init(_ settings: Settings, _ jobs: any RayJobs) throws(SetupError) {
    self.settings = settings
    self.jobs = jobs
    logs = RayLogs(settings.logs)
    do {
      _ = try FileSystem.createDirectory(settings.dataDirectory)
      if let known = RayRecord.read(in: settings.dataDirectory) {
        record = known
      } else {
        record = .make()
        try record.write(in: settings.dataDirectory)
      }
    } catch {
      throw SetupError(description: "the Ray executor cannot be set up: \(error)")
    }
    let attempts = RayAttempts(
      settings: settings.attempts, installation: record.installation, at: ContinuousClock().now)
    state = Mutex(State(attempts: attempts))
  }

  private static func base(of text: String) throws(SetupError) -> String {
    guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), ["http", "https"].contains(scheme),
      url.host(percentEncoded: false)?.isEmpty == false, url.user == nil, url.query == nil, url.fragment == nil
    else {
      throw SetupError(description: "'\(text)' is not where a Jobs API is: http://HOST:PORT or https://HOST:PORT")
    }
    return text.hasSuffix("/") ? String(text.dropLast()) : text
  }

  /// What the cluster's live nodes have together; what it had when it was last asked, where it does not answer now.
  public func capacity() async throws(SetupError) -> Capacity {
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
        "Ray does not answer; what it last had is taken for what it has", metadata: ["error": "\(error)"])
      return knownCapacity
    }
  }

  /// What the cluster had when it was last asked; nil before it ever was.
  public var knownCapacity: Capacity? {
    guard let cpus = record.cpus, let memoryBytes = record.memoryBytes else { return nil }
    return Capacity(executor: .ray, cpus: cpus, memoryBytes: memoryBytes, gpus: record.gpus ?? 0)
  }

  private func askCapacity() async throws(RayError) -> Capacity {
    let nodes = try await jobs.nodes().filter(\.isAlive)
    func sum(_ name: String) -> Double { nodes.reduce(0) { $0 + ($1.resources[name] ?? 0) } }
    var record = record
    record.cpus = sum("CPU")
    record.memoryBytes = Int64(exactly: sum("memory").rounded()) ?? 0
    record.gpus = Int(exactly: sum("GPU").rounded(.down)) ?? 0
    if record != self.record { try? record.write(in: settings.dataDirectory) }
    return Capacity(
      executor: .ray, cpus: record.cpus ?? 0, memoryBytes: record.memoryBytes ?? 0, gpus: record.gpus ?? 0)
  }

  private func announceCapacity(
    _ announced: @Sendable (Capacity) -> Capacity, _ sink: @Sendable (Observation) -> Void
  ) async {
    var isFirst = true
    while !Task.isCancelled {
      do throws(RayError) {
        let capacity = try await askCapacity()
        return sink(.capacity(announced(capacity)))
      } catch {
        if isFirst {
          settings.logger.warning(
            "Ray does not say what it has; its batches wait until it does, others run",
            metadata: ["url": "\(settings.url)", "error": "\(error)"])
        }
        isFirst = false
      }
      try? await Task.sleep(for: settings.capacityInterval)
    }
  }

  // MARK: the port

  /// Once per executor; a second call returns at once. After cancellation nothing is asked or observed any more; what
  /// runs goes on running.
  public func run(sink: @escaping @Sendable (Observation) -> Void) async {
    let begins = state.withLock { state in
      guard state.phase == .idle else { return false }
      state.phase = .running
      return true
    }
    guard begins else { return }
    await withDiscardingTaskGroup { group in
      if let announced = settings.announcesCapacity {
        group.addTask { await self.announceCapacity(announced, sink) }
      }
      while !Task.isCancelled {
        let turn = takeTurn()
        for observation in turn.observations { sink(observation) }
        logs.clean()
        for call in turn.calls { group.addTask { await self.make(call) } }
        await wakeup.wait(until: turn.wakeAt)
      }
      group.cancelAll()
    }
    state.withLock { $0.phase = .stopped }
  }

  public func launch(
    _ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]
  ) {
    // A worker on another node has no file of this machine's: it claims its documents.
    guard let submission = submission(attempt, launch) else {
      let message =
        "\(Self.runtimeName) in its environment is no JSON object such as {\"pip\": [\"pypdf\"]}, or "
        + "\(Self.resourcesName) none such as {\"TPU\": 4}"
      state.withLock { $0.news.append(.launchFailed(attempt, .environmentSetup, message: message)) }
      return wakeup.set()
    }
    change { $0.launch(attempt, submission, fence: RayMetadata.mark(of: launch.token), at: $1) }
  }

  public func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    let id = handle?.reference ?? RaySubmissionID.make(attempt)
    change { $0.adopt(attempt, id: id, fence: RayMetadata.mark(of: launch.token), at: $1) }
  }

  /// Ray's own grace is a part of the submission (`Settings.grace`); a worker learns of the end sooner, from the answer
  /// to its next report.
  public func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    let id = handle?.reference ?? RaySubmissionID.make(attempt)
    change { $0.end(attempt, id: id, at: $1) }
  }

  /// Nothing is ended but what has this server's metadata: the look before the stop makes sure.
  public func endStray(_ attempt: AttemptKey, reference: String) {
    change { $0.end(attempt, id: reference, at: $1, isStray: true) }
  }

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

  private func takeTurn() -> (
    observations: [Observation], calls: [RayAttempts.Call], wakeAt: ContinuousClock.Instant
  ) {
    let now = clock.now
    let wallClock = Instant(milliseconds: FileSystem.wallClockMilliseconds())
    return state.withLock { state in
      var observations = state.news
      state.news = []
      for answer in state.answers { observations += state.attempts.take(answer, at: now, wallClock: wallClock) }
      state.answers = []
      let (calls, wakeAt) = state.attempts.next(at: now, underWay: state.underWay)
      state.underWay += calls.count
      return (observations, calls, wakeAt)
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

  private func answer(to call: RayAttempts.Call) async -> RayAttempts.Answer {
    switch call {
    case .submit(let id, let submission):
      do throws(RayError) {
        try await jobs.submit(submission)
        return .submitted(id: id, .success(()))
      } catch {
        settings.logger.warning("a submission had no good answer", metadata: ["job": "\(id)", "error": "\(error)"])
        return .submitted(id: id, .failure(error))
      }
    case .look(let id, let thoroughly):
      return .seen(id: id, await look(id, thoroughly: thoroughly))
    case .examine(let id):
      var result = await look(id, thoroughly: true)
      let end = try? await jobs.log(id, keepingEnd: 256 << 10, lines: 2000)
      if case .success(var sight) = result {
        sight.logEnd = String(decoding: end?.bytes ?? [], as: UTF8.self)
        result = .success(sight)
      }
      return .seen(id: id, result)
    case .stop(let id):
      do throws(RayError) { return .stopped(id: id, .success(try await jobs.stop(id))) } catch {
        return .stopped(id: id, .failure(error))
      }
    case .list:
      let start = clock.now
      do throws(RayError) { return .listed(.success(try await jobs.jobs()), took: clock.now - start) } catch {
        return .listed(.failure(error), took: clock.now - start)
      }
    case .nodes(let withStatus):
      do throws(RayError) {
        let nodes = try await jobs.nodes()
        guard withStatus else { return .nodes(.success(nodes)) }
        return .nodes(.success(nodes), try? await jobs.status())
      } catch {
        return .nodes(.failure(error))
      }
    case .version:
      do throws(RayError) { return .version(.success(try await jobs.version())) } catch {
        return .version(.failure(error))
      }
    }
  }

  private func look(_ id: String, thoroughly: Bool) async -> Result<RayAttempts.Sight, RayError> {
    do throws(RayError) {
      var sight = RayAttempts.Sight(job: try await jobs.job(id))
      guard thoroughly else { return .success(sight) }
      if let version = try? await jobs.version() { sight.session = version.sessionName }
      if let job = sight.job, !job.driverNodeID.isEmpty, let nodes = try? await jobs.nodes() {
        let known = nodes.first { $0.id == job.driverNodeID }?.isAlive
        // A failed job's node that Ray has forgotten is dead; a live job's may only be beyond the list's end.
        sight.nodeIsAlive = known ?? (job.status == .failed ? false : nil)
      }
      return .success(sight)
    } catch {
      return .failure(error)
    }
  }

  /// A variable of an extractor's environment: a JSON object with further parts of Ray's runtime_env.
  static let runtimeName = "MEND_RAY_RUNTIME_ENV"

  /// Another one: a JSON object of Ray's custom resources and how much of each.
  static let resourcesName = "MEND_RAY_RESOURCES"

  /// Nil where its runtime environment or its custom resources cannot be read.
  private func submission(_ key: AttemptKey, _ launch: Launch) -> RaySubmission? {
    var runtime: [String: RayJSON] = [:]
    if let text = launch.parameters.environment[Self.runtimeName] {
      guard let members = RayJSON.object(text) else { return nil }
      runtime = members
    }
    var custom: [String: Double] = [:]
    if let text = launch.parameters.environment[Self.resourcesName] {
      guard let amounts = RayJSON.amounts(text) else { return nil }
      custom = amounts
    }
    let entrypoint =
      switch launch.parameters.work {
      case .entrypoint(let command): command
      case .documentCommand: settings.workerCommand
      }
    let resources = launch.parameters.resources
    return RaySubmission(
      submissionID: RaySubmissionID.make(key), entrypoint: entrypoint, environment: environment(key, launch),
      runtime: runtime, metadata: RayMetadata.make(key, token: launch.token, installation: record.installation),
      cpus: resources.cpus,
      gpus: resources.requiresGPU ? 1 : 0, memoryBytes: resources.memoryBytes, resources: custom)
  }

  private func environment(_ key: AttemptKey, _ launch: Launch) -> [String: String] {
    var variables = ["RAY_JOB_STOP_WAIT_TIME_S": String(max(0, settings.grace.milliseconds / 1000))]
    for (name, value) in launch.parameters.environment
    where !name.isEmpty && !name.contains("=") && name != Self.runtimeName && name != Self.resourcesName {
      variables[name] = value
    }
    variables["MEND_ENDPOINT"] = settings.workerEndpoint
    variables["MEND_ATTEMPT_TOKEN"] = launch.token
    variables["MEND_NAMESPACE"] = key.batch.namespace
    variables["MEND_BATCH_ID"] = key.batch.batchID
    variables["MEND_TIER"] = String(key.job.tier)
    variables["MEND_JOB_ID"] = key.job.description
    variables["MEND_ATTEMPT"] = String(key.number)
    if let token = settings.workerToken { variables["MEND_TOKEN"] = token }
    if let authorities = settings.workerAuthorities { variables["MEND_TLS_CA"] = authorities }
    return variables
  }
}
