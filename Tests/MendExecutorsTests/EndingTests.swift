import Glibc
import MendCore
import TestSupport
import Testing

@testable import MendExecutors

@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(1)))
struct EndingTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// Ignores SIGTERM, in three sessions, one of them behind a double fork; six processes with their sleeps. Each shell
  /// writes its pid to `pids`.
  static let stubborn = """
    trap '' TERM
    stay='trap "" TERM; echo $$ >> pids; while :; do sleep 100; done'
    setsid sh -c "$stay" &
    (setsid sh -c "$stay" &)
    echo $$ >> pids
    while :; do sleep 100; done
    """

  /// Waits until all of it runs.
  func stubbornProcesses(_ key: AttemptKey) async throws -> [Int32] {
    let directory = data.attempt(key)
    #expect(await eventually { leftovers(of: directory).count == 6 })
    let processes = lines(of: "\(directory.work)/pids").compactMap { Int32($0) }
    #expect(processes.count == 3)
    return processes
  }

  @Test func `a supervisor that others tell to end calls it a preemption`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("sleep 100")) { [] }
      let handle = try await observations.taken(key)
      try await observations.started(key)
      kill(pid_t(handle.pid), SIGTERM)
      let ended = try await observations.ended(key)
      #expect(ended.exit.finding?.cause == .preemption)
    }
  }

  @Test func `a tree that ends at SIGTERM is not killed`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("sleep 100")) { [] }
      try await observations.started(key)
      executor.end(key, nil, grace: .seconds(30))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .signalled(SIGTERM) && ended.exit.finding == nil)
      #expect(ended.receipt?.how == "SIGTERM")
    }
  }

  @Test func `a tree that ignores SIGTERM and leaves its session is ended wholly after the grace`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(Self.stubborn)) { [] }
      try await observations.started(key)
      let processes = try await stubbornProcesses(key)
      let clock = ContinuousClock()
      let start = clock.now
      executor.end(key, nil, grace: .milliseconds(1200))
      let ended = try await observations.ended(key)
      #expect(clock.now - start < .milliseconds(3200))
      #expect(clock.now - start >= .milliseconds(1200))
      #expect(ended.exit.termination == .signalled(SIGKILL))
      #expect(ended.receipt == EndReceipt(processes: 6, how: "SIGTERM, then SIGKILL after 1 s"))
      #expect(processes.allSatisfy { !isAlive($0) })
      #expect(leftovers(of: data.attempt(key)).isEmpty)
    }
  }

  @Test func `a shorter grace that comes later holds`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(Self.stubborn)) { [] }
      try await observations.started(key)
      _ = try await stubbornProcesses(key)
      executor.end(key, nil, grace: .seconds(60))
      executor.end(key, nil, grace: .zero)
      let ended = try await observations.ended(key)
      #expect(ended.receipt?.processes == 6)
    }
  }

  @Test func `ending before anything could start ends it too`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("sleep 100")) { [] }
      executor.end(key, nil, grace: .seconds(30))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .signalled(SIGTERM))
    }
  }

  @Test func `calls are carried out in their order while the executor starts`() async throws {
    let key = makeKey()
    let launch = makeLaunch("exit 0")
    let handle = ExecutorHandle(node: "", reference: "1:1:another-boot")
    try await withExecutor(in: data) { executor, observations in
      for _ in 0..<1000 {
        executor.end(key, nil, grace: .zero)
        executor.adopt(key, handle, launch)
      }
      for _ in 0..<1000 {
        guard case .lost(key, _) = try await observations.next({ $0 }) else { throw OutOfOrder() }
        guard case .ended(key, _, _) = try await observations.next({ $0 }) else { throw OutOfOrder() }
      }
    }
  }

  struct OutOfOrder: Error {}

  @Test func `an end of what has ended is answered with its account again`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("exit 3")) { [] }
      let first = try await observations.ended(key)
      executor.end(key, nil, grace: .seconds(1))
      let second = try await observations.ended(key)
      #expect(first.exit == second.exit)
    }
  }

  @Test func `an end of what never was is answered with lost`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.end(key, nil, grace: .seconds(1))
      try await observations.next { if case .lost(key, _) = $0 { () } else { nil } }
    }
  }

  @Test func `a killed supervisor's tree is ended by the server, and how it ended is unknown`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(Self.stubborn + "\n")) { [] }
      let handle = try await observations.taken(key)
      try await observations.started(key)
      let processes = try await stubbornProcesses(key)
      kill(pid_t(handle.pid), SIGKILL)
      let ended = try await observations.ended(key)
      guard case .unknown(let message) = ended.exit.termination else {
        Issue.record("\(ended.exit.termination)")
        return
      }
      #expect(message.contains("supervisor was killed"))
      // The entrypoint went with its supervisor; its sleep and the four others were left.
      #expect(try #require(ended.receipt).processes >= 4)
      #expect(processes.allSatisfy { !isAlive($0) })
      #expect(leftovers(of: data.attempt(key)).isEmpty)
    }
  }

  /// A user of its own with a limit of processes: what is killed makes room for another, and it is never more than those.
  @Test(.enabled(if: geteuid() == 0, "needs root, to become another user"))
  func `a fork bomb under a killed supervisor is stopped before it is killed`() async throws {
    let key = makeKey()
    let most = 200
    let bomb = "setpgrp(0, 0); $SIG{TERM} = \"IGNORE\"; while (1) { fork() // select(undef, undef, undef, 0.02) }"
    try await withExecutor(in: data) { executor, observations in
      executor.launch(
        key, makeLaunch("exec setpriv --reuid 54321 --clear-groups prlimit --nproc=\(most) perl -e '\(bomb)'")
      ) { [] }
      let handle = try await observations.taken(key)
      let directory = data.attempt(key)
      #expect(await eventually { leftovers(of: directory).count >= most })
      kill(pid_t(handle.pid), SIGKILL)
      let ended = try await observations.ended(key)
      #expect(leftovers(of: directory).isEmpty)
      // The supervisor took the first with it, and its place was another's.
      #expect((most - 1...most + 1).contains(try #require(ended.receipt).processes))
    }
  }

  @Test func `the last words of a long log are kept when the supervisor is killed`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) {
      $0.logLimitBytes = 65_536
    } _: { executor, observations in
      executor.launch(
        key,
        makeLaunch(
          "i=0; while [ $i -lt 9999 ]; do echo filler $i; i=$((i+1)); done >&2; echo last words >&2; sleep 100")
      ) { [] }
      let handle = try await observations.taken(key)
      let directory = data.attempt(key)
      #expect(
        await eventually {
          names(in: directory.path).filter { $0.hasPrefix("stderr.log") }
            .contains { lines(of: "\(directory.path)/\($0)").last == "last words" }
        })
      kill(pid_t(handle.pid), SIGKILL)
      let ended = try await observations.ended(key)
      #expect(ended.exit.lastStderrLine == "last words")
    }
  }

  @Test func `a supervisor that does not answer is overruled`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) {
      $0.endMargin = .milliseconds(200)
    } _: { executor, observations in
      executor.launch(key, makeLaunch(Self.stubborn)) { [] }
      let handle = try await observations.taken(key)
      try await observations.started(key)
      _ = try await stubbornProcesses(key)
      kill(pid_t(handle.pid), SIGSTOP)
      executor.end(key, nil, grace: .milliseconds(100))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .unknown("the supervisor did not answer and was killed"))
      #expect(ended.receipt == EndReceipt(processes: 6, how: "SIGKILL by the server"))
      #expect(leftovers(of: data.attempt(key)).isEmpty)
      #expect(!isAlive(Int32(handle.pid)))
    }
  }

  @Test func `a process that cleared its environment is found by its session`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("env -i sleep 100 & echo $! > pid; sleep 100")) { [] }
      let handle = try await observations.taken(key)
      let directory = data.attempt(key)
      #expect(await eventually { !lines(of: "\(directory.work)/pid").isEmpty })
      let pid = try #require(Int32(lines(of: "\(directory.work)/pid")[0]))
      #expect(await eventually { processArguments(of: pid).first == "sleep" })
      kill(pid_t(handle.pid), SIGKILL)
      _ = try await observations.ended(key)
      #expect(!isAlive(pid))
    }
  }

  @Test func `a tree that is stopped is ended too`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("echo $$ > pid; kill -STOP $$; sleep 100")) { [] }
      try await observations.started(key)
      let file = "\(data.attempt(key).work)/pid"
      #expect(
        await eventually {
          lines(of: file).first.flatMap { Int32($0) }.flatMap(processStatus)?.state == UInt8(ascii: "T")
        })
      executor.end(key, nil, grace: .seconds(30))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .signalled(SIGTERM))
    }
  }

  @Test func `a stray is ended by its reference, and a foreign process never is`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("sleep 100")) { [] }
      let handle = try await observations.taken(key)
      try await observations.started(key)
      let own = try #require(processStatus(of: getpid()))
      executor.endStray(makeKey(), reference: "\(own.pid):\(own.startTicks):\(ProcessTable.bootID)")
      executor.endStray(makeKey(), reference: handle.reference)
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .signalled(SIGTERM))
    }
  }
}
