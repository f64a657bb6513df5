import FoundationEssentials
import Logging
import MendCore
import MendProtobuf
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendExecutors

/// A Ray in memory: jobs are in the state that the test puts them in.
final class FakeRay: RayJobs {
  struct State {
    var jobs: [String: RayJob] = [:]
    var submissions: [RaySubmission] = []
    var isAway = false
    /// Submissions are taken, and their answers lost.
    var losesAnswers = false
    /// Jobs succeed before anybody looks at them.
    var endsAtOnce = false
    var deadNodes: Set<String> = []
    var calls = 0
    /// Of every job; nil is a line that names it.
    var log: String?
  }

  let state = Mutex(State())

  func set(_ status: RayJob.Status, of id: String) { state.withLock { $0.jobs[id]?.status = status } }

  private func answer<T: Sendable>(_ body: (inout State) throws(RayError) -> T) throws(RayError) -> T {
    let result = state.withLock { state -> Result<T, RayError> in
      state.calls += 1
      if state.isAway { return .failure(.unreachable("connection refused")) }
      return Result { () throws(RayError) in try body(&state) }
    }
    return try result.get()
  }

  func submit(_ submission: RaySubmission) async throws(RayError) {
    try answer { state throws(RayError) in
      state.submissions.append(submission)
      if state.jobs[submission.submissionID] != nil { throw .refused(status: 500, "already exists") }
      var job = RayJob(submissionID: submission.submissionID, status: state.endsAtOnce ? .succeeded : .pending)
      job.metadata = submission.metadata
      state.jobs[submission.submissionID] = job
      if state.losesAnswers { throw .unknown("timed out") }
    }
  }

  func job(_ id: String) async throws(RayError) -> RayJob? { try answer { state throws(RayError) in state.jobs[id] } }

  func jobs() async throws(RayError) -> [RayJob] { try answer { state throws(RayError) in Array(state.jobs.values) } }

  func stop(_ id: String) async throws(RayError) -> Bool {
    try answer { state throws(RayError) in
      guard let job = state.jobs[id], !job.status.isFinal else { return false }
      state.jobs[id]?.status = .stopped
      return true
    }
  }

  func delete(_ id: String) async throws(RayError) -> Bool {
    try answer { state throws(RayError) in
      guard let job = state.jobs[id] else { return false }
      guard job.status.isFinal else { throw .refused(status: 500, "it is in a non-terminal state") }
      state.jobs[id] = nil
      return true
    }
  }

  func log(_ id: String, keepingEnd: Int, lines: Int?) async throws(RayError) -> RayLog? {
    try answer { state throws(RayError) in
      state.jobs[id] == nil ? nil : RayLog(start: 0, bytes: Array((state.log ?? "log of \(id)\n").utf8))
    }
  }

  func version() async throws(RayError) -> RayVersion {
    try answer { _ throws(RayError) in RayVersion(sessionName: "s", rayVersion: "2") }
  }

  func status() async throws(RayError) -> RayClusterStatus { throw .refused(status: 404, "no such page") }

  func nodes() async throws(RayError) -> [RayNode] {
    try answer { state throws(RayError) in
      [
        RayNode(id: "n1", isAlive: true, resources: ["CPU": 2, "memory": 100]),
        RayNode(id: "n2", isAlive: true, resources: ["CPU": 4, "memory": 200, "GPU": 1]),
        RayNode(id: "n3", isAlive: false, resources: ["CPU": 64]),
      ].map { RayNode(id: $0.id, isAlive: $0.isAlive && !state.deadNodes.contains($0.id), resources: $0.resources) }
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct RayExecutorTests {
  let data: TemporaryDirectory
  let ray = FakeRay()
  init() throws { data = try TemporaryDirectory() }

  func settings() -> RayExecutor.Settings {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var settings = RayExecutor.Settings(
      url: "http://127.0.0.1:1", dataDirectory: data.path, workerEndpoint: "10.0.0.1:7443", workerToken: "bearer",
      logger: logger)
    settings.attempts.pollInterval = .milliseconds(1)
    settings.attempts.confirmation = .milliseconds(2)
    settings.attempts.nodeInterval = .milliseconds(5)
    settings.attempts.awayAfter = .milliseconds(2)
    settings.attempts.awayInterval = .milliseconds(2)
    settings.logs.interval = .zero
    settings.logs.costFactor = 0
    return settings
  }

  func withExecutor(
    _ settings: RayExecutor.Settings? = nil, _ body: (RayExecutor, inout RayObservations) async throws -> Void
  ) async throws {
    let executor = try RayExecutor(settings ?? self.settings(), ray)
    let (stream, continuation) = AsyncStream<Observation>.makeStream(bufferingPolicy: .bufferingOldest(10_000))
    var observations = RayObservations(iterator: stream.makeAsyncIterator())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await executor.run { continuation.yield($0) } }
      defer { group.cancelAll() }
      try await body(executor, &observations)
    }
  }

  /// What an executor said, one after the other.
  struct RayObservations {
    var iterator: AsyncStream<Observation>.Iterator
    mutating func next() async throws -> Observation {
      try #require(await iterator.next(isolation: #isolation))
    }
  }

  @Test func `an attempt runs to its end, with what its worker needs`() async throws {
    let key = makeKey()
    let id = RaySubmissionID.make(key)
    let launch = makeLaunch("python3 -m engine", memory: 1 << 28, environment: ["LANG": "C", "MEND_TIER": "9"])
    try await withExecutor { executor, observations in
      executor.launch(key, launch) { [] }
      #expect(try await observations.next() == .taken(key, ExecutorHandle(node: "", reference: id)))
      ray.set(.running, of: id)
      #expect(try await observations.next() == .started(key))
      ray.set(.succeeded, of: id)
      guard case .ended(key, let exit, nil) = try await observations.next() else { return #expect(Bool(false)) }
      #expect(exit.termination == .exited(0))
    }
    let submission = try #require(ray.state.withLock { $0.submissions.first })
    #expect(submission.entrypoint == "python3 -m engine")
    #expect((submission.cpus, submission.gpus, submission.memoryBytes) == (1, 0, 1 << 28))
    #expect(
      submission.environment == [
        "LANG": "C", "MEND_ENDPOINT": "10.0.0.1:7443", "MEND_ATTEMPT_TOKEN": launch.token, "MEND_NAMESPACE": "test",
        "MEND_BATCH_ID": key.batch.batchID, "MEND_TIER": "0", "MEND_JOB_ID": "t0-j1", "MEND_ATTEMPT": "1",
        "MEND_TOKEN": "bearer", "RAY_JOB_STOP_WAIT_TIME_S": "10",
      ])
    #expect(submission.metadata["mend_batch"] == key.batch.batchID)
    #expect(submission.metadata["mend_attempt"] == "1")
  }

  @Test func `further parts of a runtime environment are handed on, and what is no object fails the launch`()
    async throws
  {
    let (good, bad) = (makeKey(), makeKey())
    try await withExecutor { executor, observations in
      executor.launch(
        good, makeLaunch("true", environment: ["MEND_RAY_RUNTIME_ENV": #"{"pip":["pypdf"],"env_vars":{}}"#])
      ) {
        []
      }
      guard case .taken(good, _) = try await observations.next() else { return #expect(Bool(false)) }
      executor.launch(bad, makeLaunch("true", environment: ["MEND_RAY_RUNTIME_ENV": "pypdf"])) { [] }
      guard case .launchFailed(bad, .environmentSetup, _) = try await observations.next() else {
        return #expect(Bool(false))
      }
    }
    let submission = try #require(ray.state.withLock { $0.submissions.first })
    #expect(submission.resources == [:])
    #expect(submission.runtime["pip"] == ["pypdf"])
    #expect(submission.environment["MEND_RAY_RUNTIME_ENV"] == nil)
  }

  @Test func `custom resources and the server's authorities are handed on`() async throws {
    let (good, bad) = (makeKey(), makeKey())
    var settings = settings()
    settings.workerAuthorities = "system"
    try await withExecutor(settings) { executor, observations in
      executor.launch(good, makeLaunch("true", environment: ["MEND_RAY_RESOURCES": #"{"TPU":4,"disk":0.5}"#])) { [] }
      guard case .taken(good, _) = try await observations.next() else { return #expect(Bool(false)) }
      for text in ["4", #"{"TPU":"4"}"#, #"{"TPU":0}"#] {
        executor.launch(bad, makeLaunch("true", environment: ["MEND_RAY_RESOURCES": text])) { [] }
        guard case .launchFailed(bad, .environmentSetup, let message) = try await observations.next() else {
          return #expect(Bool(false))
        }
        #expect(message.contains("MEND_RAY_RESOURCES"))
      }
    }
    let submission = try #require(ray.state.withLock { $0.submissions.first })
    #expect(submission.resources == ["TPU": 4, "disk": 0.5])
    #expect(submission.environment["MEND_RAY_RESOURCES"] == nil)
    #expect(submission.environment["MEND_TLS_CA"] == "system")
    let text = submission.json.compact()
    #expect(text.contains(#""entrypoint_resources":{"#))
  }

  @Test func `a job whose node dies is told, though Ray goes on to say RUNNING`() async throws {
    let key = makeKey()
    let id = RaySubmissionID.make(key)
    try await withExecutor { executor, observations in
      executor.launch(key, makeLaunch("sleep 100")) { [] }
      _ = try await observations.next()
      ray.state.withLock { state in
        state.jobs[id]?.status = .running
        state.jobs[id]?.driverNodeID = "n2"
      }
      #expect(try await observations.next() == .taken(key, ExecutorHandle(node: "n2", reference: id)))
      #expect(try await observations.next() == .started(key))
      ray.state.withLock { $0.deadNodes = ["n2"] }
      guard case .ended(key, let exit, nil) = try await observations.next() else { return #expect(Bool(false)) }
      #expect(exit.finding?.cause == .nodeFailure)
      #expect(exit.finding?.text == "Ray says RUNNING, and that its node n2 is dead")
    }
  }

  @Test func `a job that was never seen to run is told as started before its end`() async throws {
    let key = makeKey()
    let id = RaySubmissionID.make(key)
    ray.state.withLock { $0.endsAtOnce = true }
    try await withExecutor { executor, observations in
      executor.launch(key, makeLaunch("true")) { [] }
      guard case .taken(key, _) = try await observations.next() else { return #expect(Bool(false)) }
      #expect(try await observations.next() == .started(key))
      guard case .ended(key, _, nil) = try await observations.next() else { return #expect(Bool(false)) }
    }
    #expect(ray.state.withLock { $0.jobs[id]?.status } == .succeeded)
  }

  @Test func `the log of a driver whose workers wrote last says why it failed`() async throws {
    let key = makeKey()
    let id = RaySubmissionID.make(key)
    try await withExecutor { executor, observations in
      executor.launch(key, makeLaunch("python3 x.py")) { [] }
      guard case .taken(key, _) = try await observations.next() else { return #expect(Bool(false)) }
      ray.state.withLock { state in
        state.log =
          "Traceback (most recent call last):\n  x\nray.exceptions.WorkerCrashedError: The worker died "
          + "unexpectedly while executing this task.\n"
        state.jobs[id]?.errorType = "JOB_ENTRYPOINT_COMMAND_ERROR"
        state.jobs[id]?.driverExitCode = 1
        state.jobs[id]?.message = "Job entrypoint command failed with exit code 1, last\n(f pid=9) Extension modules\n"
        state.jobs[id]?.status = .failed
      }
      #expect(try await observations.next() == .started(key))
      guard case .ended(key, let exit, nil) = try await observations.next() else { return #expect(Bool(false)) }
      #expect(exit.finding?.cause == .signal)
    }
  }

  @Test func `an answer that is lost repeats nothing`() async throws {
    ray.state.withLock { $0.losesAnswers = true }
    let key = makeKey()
    try await withExecutor { executor, observations in
      executor.launch(key, makeLaunch("true")) { [] }
      guard case .taken(key, _) = try await observations.next() else { return #expect(Bool(false)) }
    }
    #expect(ray.state.withLock { $0.submissions.count } == 1)
  }

  @Test func `a cluster that is away fails nothing, and what was asked for meanwhile happens later`() async throws {
    ray.state.withLock { $0.isAway = true }
    let key = makeKey()
    try await withExecutor { executor, observations in
      executor.launch(key, makeLaunch("true")) { [] }
      guard case .unreachable(.ray, _) = try await observations.next() else { return #expect(Bool(false)) }
      ray.state.withLock { $0.isAway = false }
      #expect(try await observations.next() == .reachable(.ray))
      guard case .taken(key, _) = try await observations.next() else { return #expect(Bool(false)) }
    }
  }

  @Test func `an end comes with a receipt when Ray says STOPPED`() async throws {
    let key = makeKey()
    try await withExecutor { executor, observations in
      executor.launch(key, makeLaunch("sleep 100")) { [] }
      guard case .taken(key, let handle) = try await observations.next() else { return #expect(Bool(false)) }
      executor.end(key, handle, grace: .seconds(1))
      guard case .ended(key, _, let receipt?) = try await observations.next() else { return #expect(Bool(false)) }
      #expect(receipt.how.contains("STOPPED"))
    }
  }

  @Test func `a log goes on behind what was read, and is gone with its job`() async throws {
    let key = makeKey()
    try await withExecutor { executor, observations in
      let none = await executor.log(of: key, nil, .standardOutput, from: 0, limit: 100)
      let words = "Ray has no log of its job \(RaySubmissionID.make(key)), or no longer has it"
      #expect(none == .failure(.notKept(words)))
      executor.launch(key, makeLaunch("x")) { [] }
      guard case .taken(key, let handle) = try await observations.next() else { return #expect(Bool(false)) }
      let text = Array("log of \(RaySubmissionID.make(key))\n".utf8)
      let first = await executor.log(of: key, handle, .standardOutput, from: 0, limit: 6)
      #expect(first == .success(LogPiece(offset: 0, bytes: Array(text.prefix(6)))))
      let rest = await executor.log(of: key, handle, .standardOutput, from: 6, limit: 1000)
      #expect(rest == .success(LogPiece(offset: 6, bytes: Array(text.dropFirst(6)))))
      let end = await executor.log(of: key, handle, .standardOutput, from: 1000, limit: 1000)
      #expect(end == .success(LogPiece(offset: Int64(text.count), bytes: [])))
      guard case .failure(.notKept(let words)) = await executor.log(of: key, handle, .standardError, from: 0, limit: 1)
      else { return #expect(Bool(false)) }
      #expect(words.contains("--stream stdout"))
      ray.state.withLock { $0.isAway = true }
      guard case .failure(.unreachable) = await executor.log(of: key, handle, .standardOutput, from: 0, limit: 1) else {
        return #expect(Bool(false))
      }
    }
  }

  @Test func `the next executor on the same data finds what runs`() async throws {
    let key = makeKey()
    let launch = makeLaunch("sleep 100")
    try await withExecutor { executor, observations in
      executor.launch(key, launch) { [] }
      _ = try await observations.next()
    }
    ray.set(.running, of: RaySubmissionID.make(key))
    try await withExecutor { executor, observations in
      executor.adopt(key, nil, launch)
      guard case .taken(key, _) = try await observations.next() else { return #expect(Bool(false)) }
      #expect(try await observations.next() == .started(key))
    }
    #expect(ray.state.withLock { $0.submissions.count } == 1)
  }

  @Test func `records of a forgotten batch are deleted, by the next executor where Ray was away`() async throws {
    let (gone, kept) = (makeKey(), makeKey())
    var settings = settings()
    settings.attempts.firstStrayScan = .zero
    settings.attempts.strayInterval = .milliseconds(5)
    func settle(_ key: AttemptKey, _ executor: RayExecutor, _ observations: inout RayObservations) async throws {
      executor.launch(key, makeLaunch("true")) { [] }
      while true { if case .ended(key, _, _) = try await observations.next() { return } }
    }
    ray.state.withLock { $0.endsAtOnce = true }
    try await withExecutor(settings) { executor, observations in
      try await settle(gone, executor, &observations)
      try await settle(kept, executor, &observations)
      ray.state.withLock { $0.isAway = true }
      guard case .unreachable(.ray, _) = try await observations.next() else { return #expect(Bool(false)) }
      executor.forget(gone.batch)
      while try RayRecord.read(in: data.path)?.forgottenBatches != [gone.batch] { await Task.yield() }
    }
    #expect(ray.state.withLock { $0.jobs.count } == 2)
    ray.state.withLock { $0.isAway = false }
    try await withExecutor(settings) { _, _ in
      while try RayRecord.read(in: data.path)?.forgottenBatches != [] { await Task.yield() }
    }
    #expect(ray.state.withLock { Array($0.jobs.keys) } == [RaySubmissionID.make(kept)])
  }

  @Test func `a damaged mark of this server is said, and never replaced`() throws {
    let settings = settings()
    let file = data.path + "/ray.json"
    let first = try RayExecutor(settings).installation
    #expect(try RayExecutor(settings).installation == first)
    let whole = try String(contentsOfFile: file, encoding: .utf8)
    for damage in [String(whole.dropLast(3)), "", "{\"installation\":\"\"}"] {
      try damage.write(toFile: file, atomically: true, encoding: .utf8)
      #expect(throws: RayExecutor.SetupError.self) { try RayExecutor(settings) }
      #expect(try String(contentsOfFile: file, encoding: .utf8) == damage)
    }
    try whole.write(toFile: file, atomically: true, encoding: .utf8)
    #expect(try RayExecutor(settings).installation == first)
  }

  @Test func `capacity is what live nodes have, also while the cluster is away`() async throws {
    let expected = Capacity(executor: .ray, cpus: 6, memoryBytes: 300, gpus: 1)
    let first = try RayExecutor(settings(), ray)
    #expect(try await first.capacity() == expected)
    ray.state.withLock { $0.isAway = true }
    let second = try RayExecutor(settings(), ray)
    #expect(try await second.capacity() == expected)
  }

  @Test func `a cluster that nobody waited for says what it has when it answers`() async throws {
    ray.state.withLock { $0.isAway = true }
    var settings = settings()
    settings.attempts.capacityRetry = .milliseconds(1)
    settings.announcesCapacity = {
      Capacity(executor: $0.executor, cpus: 1, memoryBytes: $0.memoryBytes, gpus: $0.gpus)
    }
    #expect(try RayExecutor(settings, ray).knownCapacity == nil)
    let key = makeKey()
    try await withExecutor(settings) { executor, observations in
      executor.launch(key, makeLaunch("true")) { [] }
      guard case .unreachable(.ray, _) = try await observations.next() else { return #expect(Bool(false)) }
      ray.state.withLock { $0.isAway = false }
      var said: Capacity?
      while said == nil {
        if case .capacity(let capacity) = try await observations.next() { said = capacity }
      }
      #expect(said == Capacity(executor: .ray, cpus: 1, memoryBytes: 300, gpus: 1))
    }
    #expect(
      try RayExecutor(settings, ray).knownCapacity == Capacity(executor: .ray, cpus: 6, memoryBytes: 300, gpus: 1))
  }

  @Test func `a cluster that never answered has no capacity to guess`() async throws {
    ray.state.withLock { $0.isAway = true }
    let executor = try RayExecutor(settings(), ray)
    await #expect(throws: RayExecutor.SetupError.self) { _ = try await executor.capacity() }
  }

  @Test(
    "what is no URL of a Jobs API is refused",
    arguments: ["", "ray:8265", "ftp://h", "http://", "http://u@h:1", "http://h?x=1"])
  func urls(text: String) throws {
    var settings = settings()
    settings.url = text
    #expect(throws: RayExecutor.SetupError.self) { _ = try RayExecutor(settings) }
  }

  @Test func `a port that nobody listens on is unreachable over real sockets`() async throws {
    let client = RayClient(
      HTTPRayTransport(base: "http://127.0.0.1:1", token: { "t" }, timeout: .seconds(5), answerLimitBytes: 1000))
    do throws(RayError) {
      _ = try await client.version()
      #expect(Bool(false), "nobody listens there")
    } catch {
      guard case .unreachable = error else { return #expect(Bool(false), "\(error)") }
    }
  }
}
