import Glibc
import Logging
@testable import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendExecutors

/// An executor that the suite is run against, and what makes its attempts do what a test wants.
enum Subject: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case local, ray, simulated
  /// A real head, where MEND_RAY_URL says that there is one for tests (`tools/test ray`).
  case cluster

  static var available: [Subject] {
    if Cluster.url != nil { return [.cluster] }
    return allCases.filter { $0 != .cluster && ($0 != .local || BuiltProgram.mend != nil) }
  }
  var testDescription: String { rawValue }
  var isRay: Bool { self == .ray || self == .cluster }
  /// What a new executor finds again; simulated attempts are in the process that ended.
  var outlivesItsExecutor: Bool { self != .simulated }
}

/// What every executor owes the runtime, written once: local with real processes, Ray against a Ray in memory and, in
/// `tools/test ray`, on a real head, simulated with workers that this suite answers.
@Suite("What every executor owes", .serialized, .timeLimit(.minutes(1)))
struct ExecutorConformance {
  enum Work: Sendable {
    case waits
    case exits(Int32)
    /// Beyond `memoryLimit`.
    case takesMemory
  }

  private static let memoryLimit: Int64 = 64 << 20

  let data: TemporaryDirectory
  let ray = FakeRay()
  init() throws { data = try TemporaryDirectory() }

  @Test("A launch is taken, started and ended, in this order", arguments: Subject.available, [0, 3] as [Int32])
  func wholeLife(_ subject: Subject, _ code: Int32) async throws {
    let key = makeKey()
    try await with(subject) { executor, observations in
      try await launch(.exits(code), key, subject, executor)
      let said = try await until(&observations) { if case .ended(key, _, _) = $0 { true } else { false } }
      #expect(steps(said) == ["taken", "started", "ended"])
      #expect(exit(said)?.termination == .exited(code))
      if subject == .cluster { #expect(starts(of: key, subject) == 1) }
    }
  }

  @Test("A launch that is asked for again is not carried out again", arguments: Subject.available)
  func launchedOnce(_ subject: Subject) async throws {
    let key = makeKey()
    try await with(subject) { executor, observations in
      let launched = try await launch(.waits, key, subject, executor)
      _ = try await until(&observations) { $0 == .started(key) }
      executor.launch(key, launched) { [] }
      _ = try await until(&observations) { if case .taken(key, _) = $0 { true } else { $0 == .started(key) } }
      executor.end(key, nil, grace: .zero)
      _ = try await until(&observations) { if case .ended(key, _, _) = $0 { true } else { false } }
    }
    #expect(starts(of: key, subject) <= 1)
  }

  @Test("A cancel ends it with a receipt, and an end is said again to who asks again", arguments: Subject.available)
  func cancel(_ subject: Subject) async throws {
    let key = makeKey()
    try await with(subject) { executor, observations in
      try await launch(.waits, key, subject, executor)
      _ = try await until(&observations) { $0 == .started(key) }
      executor.end(key, nil, grace: .seconds(30))
      let said = try await until(&observations) { if case .ended(key, _, _) = $0 { true } else { false } }
      guard case .ended(_, let first, let receipt?)? = said.last else { return #expect(Bool(false), "\(said)") }
      #expect(!receipt.how.isEmpty)
      executor.end(key, nil, grace: .seconds(30))
      let again = try await until(&observations) { name($0) == "ended" || name($0) == "lost" }
      if let second = exit(again) { #expect(second.termination == first.termination) }
    }
  }

  @Test("What it never heard of is lost, whether it is adopted or ended", arguments: Subject.available)
  func unknown(_ subject: Subject) async throws {
    let (adopted, ended) = (makeKey(), makeKey())
    try await with(subject) { executor, observations in
      executor.adopt(adopted, nil, makeLaunch("true"))
      _ = try await until(&observations) { if case .lost(adopted, _) = $0 { true } else { false } }
      executor.end(ended, nil, grace: .seconds(1))
      _ = try await until(&observations) { if case .lost(ended, _) = $0 { true } else { false } }
    }
  }

  @Test("The next executor finds what runs, or says that it is lost", arguments: Subject.available)
  func adoption(_ subject: Subject) async throws {
    let key = makeKey()
    var launched: Launch?
    try await with(subject) { executor, observations in
      launched = try await self.launch(.waits, key, subject, executor)
      _ = try await until(&observations) { $0 == .started(key) }
    }
    let known = try #require(launched)
    try await with(subject) { executor, observations in
      executor.adopt(key, nil, known)
      guard subject.outlivesItsExecutor else {
        _ = try await until(&observations) { if case .lost(key, _) = $0 { true } else { false } }
        return
      }
      let said = try await until(&observations) { $0 == .started(key) }
      #expect(steps(said) == ["taken", "started"])
      executor.end(key, nil, grace: .seconds(30))
      _ = try await until(&observations) { if case .ended(key, _, _?) = $0 { true } else { false } }
    }
    #expect(starts(of: key, subject) <= 1)
  }

  @Test(
    "What vanishes is lost, or ended in a way that nobody saw, never failed",
    arguments: [Subject.local, .ray, .cluster])
  func loss(_ subject: Subject) async throws {
    guard Subject.available.contains(subject) else { return }
    let key = makeKey()
    try await with(subject) { executor, observations in
      try await launch(.waits, key, subject, executor)
      let said = try await until(&observations) { $0 == .started(key) }
      if subject == .ray {
        ray.state.withLock { $0.jobs[RaySubmissionID.make(key)] = nil }
      } else if subject == .cluster {
        try await Cluster.remove(RaySubmissionID.make(key))
      } else if case .taken(_, let handle)? = said.first {
        kill(pid_t(handle.pid), SIGKILL)
      }
      let end = try await until(&observations) { ["ended", "lost"].contains(name($0)) }
      if let exit = exit(end) {
        guard case .unknown = exit.termination else { return #expect(Bool(false), "\(exit)") }
      }
    }
  }

  @Test(
    "What runs and nobody asked for is a duplicate, and ended by its reference",
    arguments: [Subject.local, .ray, .cluster])
  func duplicate(_ subject: Subject) async throws {
    guard Subject.available.contains(subject) else { return }
    let key = makeKey()
    try await with(subject) { executor, observations in
      try await launch(.waits, key, subject, executor)
      _ = try await until(&observations) { $0 == .started(key) }
    }
    try await with(subject) { executor, observations in
      let said = try await until(&observations) { if case .duplicate(key, _) = $0 { true } else { false } }
      guard case .duplicate(_, let reference)? = said.last else { return }
      executor.endStray(key, reference: reference)
      if subject == .ray {
        #expect(await eventually { ray.state.withLock { $0.jobs.values.allSatisfy(\.status.isFinal) } })
      } else if subject == .cluster {
        try await Cluster.waitForEnd(of: reference)
      } else {
        _ = try await until(&observations) { if case .ended(key, _, _?) = $0 { true } else { false } }
      }
    }
  }

  @Test("A limit of memory that is passed is told as oom", arguments: Subject.available)
  func memory(_ subject: Subject) async throws {
    let key = makeKey()
    try await with(subject) { executor, observations in
      try await launch(.takesMemory, key, subject, executor)
      let said = try await until(&observations) { if case .ended(key, _, _) = $0 { true } else { false } }
      let account = try #require(self.exit(said))
      #expect(account.memoryLimitExceeded || account.finding?.cause == .oom)
    }
  }

  @Test("The log of what it never heard of is an error, at once", arguments: Subject.available)
  func log(_ subject: Subject) async throws {
    try await with(subject) { executor, _ in
      guard case .failure = await executor.log(of: makeKey(), nil, .standardOutput, from: 0, limit: 10) else {
        return #expect(Bool(false))
      }
    }
  }
}

extension ExecutorConformance {
  private func with(
    _ subject: Subject, _ body: (any Executor, inout AsyncStream<Observation>.Iterator) async throws -> Void
  ) async throws {
    let executor = try executor(subject)
    let (stream, continuation) = AsyncStream<Observation>.makeStream(bufferingPolicy: .bufferingOldest(10_000))
    var iterator = stream.makeAsyncIterator()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await executor.run { continuation.yield($0) } }
      defer { group.cancelAll() }
      try await body(executor, &iterator)
    }
  }

  private func executor(_ subject: Subject) throws -> any Executor {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    switch subject {
    case .local:
      var settings = LocalExecutor.Settings(
        dataDirectory: data.path, mendBinary: BuiltProgram.mend, endpoint: "unix:\(data.path)/mend.sock", logger: logger
      )
      settings.strayScanDelay = .milliseconds(200)
      settings.strayScanInterval = .milliseconds(200)
      return try LocalExecutor(settings)
    case .ray:
      var settings = RayExecutor.Settings(
        url: "http://127.0.0.1:1", dataDirectory: data.path, workerEndpoint: "10.0.0.1:7443", workerToken: "bearer",
        logger: logger)
      settings.attempts.pollInterval = .milliseconds(1)
      settings.attempts.confirmation = .milliseconds(2)
      settings.attempts.strayInterval = .milliseconds(50)
      settings.attempts.firstStrayScan = .milliseconds(50)
      return try RayExecutor(settings, ray)
    case .cluster:
      var settings = RayExecutor.Settings(
        url: Cluster.url ?? "", token: { Cluster.token }, dataDirectory: data.path, workerEndpoint: "127.0.0.1:7443",
        logger: logger)
      settings.grace = .seconds(1)
      settings.attempts.pollInterval = .milliseconds(200)
      settings.attempts.confirmation = .milliseconds(500)
      settings.attempts.strayInterval = .milliseconds(500)
      settings.attempts.firstStrayScan = .milliseconds(500)
      return try RayExecutor(settings)
    case .simulated:
      let executor = SimulatedExecutor(clock: SystemClock())
      executor.connect { request in
        switch request.operation {
        case .start:
          .success(
            .workerStarted(
              Reply.WorkerAssignment(
                attempt: makeKey(), parameters: makeLaunch("true").parameters, collectionID: "c",
                heartbeat: .seconds(60), documentsLeft: 1)))
        case .claim: .success(.claimed(.init(documents: [Document(id: "d", uri: "file:///d")])))
        case .report: .success(.reported(.init(accepted: 1, repeated: 0, stop: false)))
        }
      }
      return executor
    }
  }

  /// Launches it, and plays the cluster's part where there is none.
  @discardableResult
  private func launch(_ work: Work, _ key: AttemptKey, _ subject: Subject, _ executor: any Executor) async throws
    -> Launch
  {
    let entrypoint =
      switch (subject, work) {
      case (.local, .waits): "echo run >> runs; sleep 100"
      case (.local, .exits(let code)): "exit \(code)"
      case (.local, .takesMemory):
        "exec perl -e 'my @x; while (1) { push @x, q(a) x (4 << 20); select(undef, undef, undef, 0.02) }'"
      case (.simulated, .takesMemory): "simulate oom_at=1"
      case (.ray, _): "python3 -m engine"
      case (.cluster, .waits): "echo run >> \(runs(of: key)); sleep 100"
      case (.cluster, .exits(let code)): "echo run >> \(runs(of: key)); exit \(code)"
      // Ray limits nothing by itself; these are its words when a node has no more.
      case (.cluster, .takesMemory):
        "echo 'ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.'; exit 1"
      case (.simulated, .waits): "simulate document_seconds=3600"
      case (.simulated, .exits(let code)): "simulate exit_at=1:\(code)"
      }
    let launch = makeLaunch(entrypoint, memory: Self.memoryLimit)
    executor.launch(key, launch) { [Document(id: "d", uri: "file:///d")] }
    guard subject == .ray else { return launch }
    let id = RaySubmissionID.make(key)
    #expect(await eventually { ray.state.withLock { $0.jobs[id] != nil } })
    ray.set(.running, of: id)
    if case .waits = work { return launch }
    // Seen running first: a poll may be between the two.
    let calls = ray.state.withLock { $0.calls }
    #expect(await eventually { ray.state.withLock { $0.calls } > calls + 3 })
    ray.state.withLock { state in
      switch work {
      case .waits: break
      case .exits(let code):
        state.jobs[id]?.status = code == 0 ? .succeeded : .failed
        state.jobs[id]?.driverExitCode = code
      case .takesMemory:
        state.jobs[id]?.status = .failed
        state.jobs[id]?.message =
          "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."
      }
    }
    return launch
  }

  /// Where an entrypoint on the cluster says that it was started; its head is on this machine.
  private func runs(of key: AttemptKey) -> String { "\(data.path)/\(RaySubmissionID.make(key)).runs" }

  /// How often its entrypoint was really started.
  private func starts(of key: AttemptKey, _ subject: Subject) -> Int {
    switch subject {
    case .local: lines(of: "\(data.attempt(key).work)/runs").count
    case .cluster: lines(of: runs(of: key)).count
    case .ray: ray.state.withLock { $0.submissions.filter { $0.submissionID == RaySubmissionID.make(key) }.count }
    case .simulated: 1
    }
  }

  /// All that is said up to the one that matches. The test's time limit is the deadline.
  private func until(
    _ iterator: inout AsyncStream<Observation>.Iterator, _ matches: (Observation) -> Bool
  ) async throws -> [Observation] {
    var said: [Observation] = []
    while let observation = await iterator.next(isolation: #isolation) {
      said.append(observation)
      if matches(observation) { return said }
    }
    throw Observations.Ended()
  }

  private func name(_ observation: Observation) -> String {
    switch observation {
    case .taken: "taken"
    case .delayed: "delayed"
    case .started: "started"
    case .launchFailed: "launchFailed"
    case .ended: "ended"
    case .lost: "lost"
    case .unreachable: "unreachable"
    case .reachable: "reachable"
    case .capacity: "capacity"
    case .duplicate: "duplicate"
    case .looked: "looked"
    case .hidden: "hidden"
    }
  }

  /// What is taken may be said again with more of a handle: a cluster chooses the node later.
  private func steps(_ said: [Observation]) -> [String] {
    said.map(name).reduce(into: []) { steps, step in
      if step != "taken" || steps.last != step { steps.append(step) }
    }
  }

  private func exit(_ said: [Observation]) -> ExitRecord? {
    if case .ended(_, let exit, _)? = said.last { exit } else { nil }
  }
}
