import MendCore
import TestSupport
import Testing

@testable import MendExecutors

@Suite struct SupervisorOptionsTests {
  @Test func `the directory is named, and the lock may be handed over`() {
    #expect(Supervisor.Options(["--directory", "/d"]) == .attempt(directory: "/d", lock: nil))
    #expect(Supervisor.Options(["--directory", "/d", "--lock", "3"]) == .attempt(directory: "/d", lock: 3))
    #expect(Supervisor.Options(["--launches", "/d", "--socket", "3", "   "]) == .launches(data: "/d", socket: 3))
  }

  @Test(
    "anything else is wrong usage",
    arguments: [
      [], ["--directory"], ["--directory", ""], ["--lock", "3"], ["--directory", "/d", "--lock", "x"],
      ["--directory", "/d", "--lock", "1"], ["--directory", "/d", "--more", "1"],
      ["--launches", "/d"], ["--launches", "/d", "--socket", "2"], ["--directory", "/d", "--socket", "3"],
    ])
  func wrong(arguments: [String]) {
    #expect(Supervisor.Options(arguments) == nil)
  }
}

/// Supervisors without an executor that started them.
@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(1)))
struct SupervisorTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// As a server that was killed right after the launch leaves it.
  func prepare(_ key: AttemptKey, running arguments: [String]) throws -> AttemptDirectory {
    let directory = data.attempt(key)
    _ = try FileSystem.createDirectory("\(data.path)/attempts")
    _ = try directory.create()
    _ = try FileSystem.createDirectory(directory.work)
    try directory.begin(
      LaunchRecord(
        arguments: arguments, environment: ["PATH": "/usr/bin:/bin"], workDirectory: directory.work,
        memoryLimitBytes: 0, logLimitBytes: 1024, graceMilliseconds: 1000))
    return directory
  }

  func isLocked(_ directory: AttemptDirectory) -> Bool {
    if let lock = try? directory.tryLock() {
      _ = lock.rawValue
      return false
    }
    return true
  }

  func supervise(_ directory: AttemptDirectory) throws -> ProcessReference {
    try ProcessReference.Child(
      arguments: [#require(BuiltProgram.mend), "supervise", "--directory", directory.path], environment: [:]
    ).start(output: nil, error: nil)
  }

  @Test func `one that finds no room for its first record is ended by a cancel, and starts nothing`() async throws {
    let key = makeKey()
    let directory = try prepare(key, running: ["/bin/sh", "-c", "sleep 100"])
    let mend = try #require(BuiltProgram.mend)
    let supervisor = try ProcessReference.Child(
      arguments: ["/bin/sh", "-c", "ulimit -f 0; exec \(mend) supervise --directory \(directory.path)"],
      environment: [:]
    ).start(output: nil, error: nil)
    #expect(await eventually { isLocked(directory) })
    try await withExecutor(in: data) { executor, observations in
      executor.end(key, nil, grace: .zero)
      let message = try await observations.next { if case .lost(key, let message) = $0 { message } else { nil } }
      #expect(message == "its supervisor was never started")
    }
    #expect(await eventually { reference(to: supervisor.identity, collecting: true) == nil })
    #expect(!directory.holds(AttemptRecords.supervisor))
  }

  @Test func `an entrypoint that cannot be started is told with its reason`() async throws {
    let key = makeKey()
    let supervisor = try supervise(prepare(key, running: ["/nonexistent/program"]))
    try await withExecutor(in: data) { executor, observations in
      #expect(await eventually { reference(to: supervisor.identity, collecting: true) == nil })
      executor.adopt(key, nil, makeLaunch(""))
      let ended = try await observations.ended(key)
      guard case .notStarted(let reason) = ended.exit.termination else {
        Issue.record("\(ended.exit.termination)")
        return
      }
      #expect(reason.contains("No such file or directory"))
      #expect(ended.exit.finding?.cause == .environmentSetup)
      #expect(!observations.all.contains(.started(key)))
    }
  }

  @Test func `of many supervisors of one attempt one runs it`() async throws {
    let key = makeKey()
    let directory = try prepare(key, running: ["/bin/sh", "-c", "echo run >> runs; exit 8"])
    let supervisors = try (0..<6).map { _ in try supervise(directory) }
    for supervisor in supervisors {
      #expect(await eventually { reference(to: supervisor.identity, collecting: true) == nil })
    }
    #expect(lines(of: "\(directory.work)/runs").count == 1)
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("")) { [] }
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .exited(8))
    }
  }
}
