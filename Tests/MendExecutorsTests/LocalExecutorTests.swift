import FoundationEssentials
import Glibc
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendExecutors

@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(1)))
struct LocalExecutorTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// Runs one entrypoint to its end.
  func outcome(
    of launch: Launch, change: (inout LocalExecutor.Settings) -> Void = { _ in }
  ) async throws -> (exit: ExitRecord, receipt: EndReceipt?, key: AttemptKey) {
    let key = makeKey()
    var outcome: (exit: ExitRecord, receipt: EndReceipt?)?
    try await withExecutor(in: data, change: change) { executor, observations in
      executor.launch(key, launch) { [] }
      outcome = try await observations.ended(key)
    }
    let ended = try #require(outcome)
    return (ended.exit, ended.receipt, key)
  }

  @Test("an exit code is told after the attempt was taken and started", arguments: [0, 3, 255] as [Int32])
  func exitCode(code: Int32) async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("exit \(code)")) { [] }
      let handle = try await observations.taken(key)
      #expect(handle.reference == "\(handle.pid):\(handle.reference.split(separator: ":")[1]):\(ProcessTable.bootID)")
      try await observations.started(key)
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .exited(code))
      #expect(ended.receipt == EndReceipt(processes: 0, how: "ended by itself"))
      #expect(observations.all.count == 3)
    }
  }

  @Test(arguments: [
    ("exec sleep 1000", ProcessActivity.State.waiting, "sleep 1000"),
    ("sleep 1000 & while :; do :; done", .computing, "sleep 1000"),
    ("kill -STOP $$; exit 0", .stopped, "kill -STOP"),
    ("exec perl -e 'sleep 1000' \"$WORD\"", .waiting, "perl -e sleep 1000 $WORD"),
  ]) func `what an attempt's processes do is told`(
    entrypoint: String, state: ProcessActivity.State, command: String
  ) async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(entrypoint, environment: ["WORD": "kept to itself"])) { [] }
      try await observations.started(key)
      var looks = 0
      while true {
        executor.look(at: key)
        let activity = try await observations.next { if case .looked(key, let activity) = $0 { activity } else { nil } }
        looks += 1
        #expect((activity.recently == nil) == (looks == 1))
        // It may just be starting.
        if looks > 2, activity.state == state, activity.newest.commandLine.contains(command) { break }
        try await Task.sleep(for: .milliseconds(50))
      }
      executor.end(key, nil, grace: .zero)
      _ = try await observations.ended(key)
    }
  }

  @Test func `a signal is told as one, and is no memory kill`() async throws {
    let (exit, _, _) = try await outcome(of: makeLaunch("kill -9 $$", memory: 1 << 30))
    #expect(exit.termination == .signalled(SIGKILL))
    #expect(!exit.memoryLimitExceeded)
    #expect(exit.memoryLimitBytes == 1 << 30)
  }

  @Test func `a command that is not there ends with 127 and the shell's words`() async throws {
    let (exit, _, _) = try await outcome(of: makeLaunch("no-such-command-anywhere"))
    #expect(exit.termination == .exited(127))
    #expect(exit.lastStderrLine.contains("not found"))
  }

  @Test func `the last line of stderr with something in it is kept`() async throws {
    let (exit, _, key) = try await outcome(of: makeLaunch("echo one >&2; printf '  two  \\n\\n' >&2; echo out; exit 1"))
    #expect(exit.lastStderrLine == "two")
    #expect(lines(of: data.attempt(key).standardOutput) == ["out"])
  }

  @Test func `CPU time of the whole tree is counted`() async throws {
    let (exit, _, _) = try await outcome(
      of: makeLaunch("sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done' & wait"))
    #expect(exit.cpuSeconds > 0.02)
  }

  @Test func `a tree over its memory limit is ended, with limit and peak on record`() async throws {
    let limit: Int64 = 64 << 20
    let clock = ContinuousClock()
    let start = clock.now
    let (exit, receipt, _) = try await outcome(
      of: makeLaunch("sleep 100 & tail /dev/zero", memory: limit))
    #expect(exit.memoryLimitExceeded)
    #expect(exit.peakMemoryBytes > limit)
    #expect(exit.memoryLimitBytes == limit)
    #expect(exit.termination == .signalled(SIGKILL))
    #expect(receipt?.processes == 3)
    #expect(receipt?.how == "SIGKILL over the memory limit")
    #expect(clock.now - start < .seconds(10))
  }

  @Test func `what an entrypoint leaves running is ended and counted`() async throws {
    let (exit, receipt, key) = try await outcome(
      of: makeLaunch(
        """
        setsid sleep 100 &
        setsid sh -c "trap '' TERM; sleep 100 & touch up; wait" &
        while [ ! -e up ]; do sleep 0.01; done; exit 4
        """))
    #expect(exit.termination == .exited(4))
    #expect(receipt?.processes == 3)
    #expect(leftovers(of: data.attempt(key)).isEmpty)
  }

  @Test func `a flood of output is bounded and does not block`() async throws {
    let (exit, _, key) = try await outcome(
      of: makeLaunch("echo first >&2; head -c 30000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo last >&2")
    ) { $0.logLimitBytes = 64 << 10 }
    #expect(exit.termination == .exited(0))
    #expect(exit.lastStderrLine == "last")
    let path = data.attempt(key).standardError
    let files = names(in: data.attempt(key).path).filter { $0.hasPrefix("stderr.log") }
    let log = files.map { contents(of: "\(data.attempt(key).path)/\($0)") ?? [] }
    #expect(log.reduce(0) { $0 + $1.count } <= 64 << 10)
    #expect(AttemptLog(path: path).piece(from: 0, limit: 6)?.bytes == Array("first\n".utf8))
    let end = Int64(30_000_000 + "first\n\nlast\n".utf8.count)
    #expect(AttemptLog(path: path).piece(from: end - 6, limit: 10)?.bytes == Array("\nlast\n".utf8))
  }

  @Test func `an entrypoint sees the base, its own settings and MEND_ variables, nothing else`() async throws {
    let launch = makeLaunch(
      "env; pwd", environment: ["LANG": "de_DE", "MODE": "fast\nlane", "MEND_BATCH_ID": "forged"])
    let (_, _, key) = try await outcome(of: launch) {
      $0.environment = ["PATH": "/usr/bin:/bin", "HOME": "/root", "MEND_TOKEN": "secret", "AWS_SECRET": "secret"]
    }
    let directory = data.attempt(key)
    let output = lines(of: directory.standardOutput)
    #expect(output.last.map(String.init) == directory.work)
    let names = Set(output.compactMap { $0.split(separator: "=", maxSplits: 1).first.map(String.init) })
    #expect(
      names.subtracting(["lane", directory.work]) == [
        "PATH", "HOME", "LANG", "TMPDIR", "MODE", "PWD", "MEND_ENDPOINT", "MEND_ATTEMPT_TOKEN", "MEND_NAMESPACE",
        "MEND_BATCH_ID", "MEND_TIER", "MEND_JOB_ID", "MEND_ATTEMPT", "MEND_MANIFEST",
      ])
    #expect(output.contains("LANG=de_DE"))
    #expect(output.contains("MEND_BATCH_ID=\(key.batch.batchID)"))
    #expect(output.contains("MEND_ATTEMPT_TOKEN=\(launch.token)"))
    #expect(output.contains("MEND_JOB_ID=t0-j1"))
    #expect(!output.contains { $0.contains("secret") })
  }

  @Test func `the manifest lists what is left to do, and the directory is for its owner only`() async throws {
    let key = makeKey()
    let documents = [
      Document(id: "q4", uri: "file:///srv/a%20b", mediaType: "document", size: 7),
      Document(id: "q5", uri: "s3://bucket/\"x\"\n"),
    ]
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("cat \"$MEND_MANIFEST\"")) { documents }
      _ = try await observations.ended(key)
    }
    #expect(
      lines(of: data.attempt(key).standardOutput) == [
        #"{"document_id":"q4","uri":"file:///srv/a%20b","path":"/srv/a b","media_type":"document","size_bytes":7}"#,
        #"{"document_id":"q5","uri":"s3://bucket/\"x\"\u000a","path":"","media_type":""}"#,
      ])
    let attributes = try FileManager.default.attributesOfItem(atPath: data.attempt(key).records)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
  }

  @Test func `per-document work is done by the program's own worker`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, _ in
      let launch = makeLaunch("", work: .documentCommand("true"))
      let program = try #require(BuiltProgram.mend)
      #expect(executor.launchRecord(key, launch, in: data.attempt(key)).arguments == [program, "worker"])
    }
  }

  @Test func `a program that is missing fails the launch`() async throws {
    let key = makeKey()
    try await withExecutor(in: data, mend: "/nonexistent/mend") { executor, observations in
      executor.launch(key, makeLaunch("exit 0")) { [] }
      let message = try await observations.next { observation in
        if case .launchFailed(key, .environmentSetup, let message) = observation { message } else { nil }
      }
      #expect(message.contains("No such file"))
    }
  }

  @Test func `fifty attempts leave no process and no zombie`() async throws {
    let keys = (1...50).map { makeKey($0) }
    let launches = keys.map { _ in makeLaunch("sh -c 'sleep 0.01 &'; exit 0") }
    try await withExecutor(in: data) { executor, observations in
      for (key, launch) in zip(keys, launches) { executor.launch(key, launch) { [] } }
      var missing = Set(keys)
      while !missing.isEmpty {
        let key = try await observations.next { observation -> AttemptKey? in
          if case .ended(let key, let exit, _) = observation, exit.termination == .exited(0) { key } else { nil }
        }
        missing.remove(key)
      }
    }
    let own = try #require(processStatus(of: getpid()))
    #expect(processChildren(of: own).allSatisfy { !(processStatus(of: $0)?.isDead ?? false) })
    #expect(keys.allSatisfy { leftovers(of: data.attempt($0)).isEmpty })
  }
}
