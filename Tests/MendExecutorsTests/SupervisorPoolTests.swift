import FoundationEssentials
import Glibc
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendExecutors

@Suite struct SupervisorLinkTests {
  private static let launch = LaunchRecord(
    arguments: ["/bin/sh", "-c", "echo \"a\nb\"\t| cat; exit 3", ""], environment: ["A": "1=2", "B": "", "C": "ü\n"],
    workDirectory: "/d/work", memoryLimitBytes: 1 << 40, logLimitBytes: 5, graceMilliseconds: 10_000,
    cpuLimitSeconds: 0.1, openFilesLimit: 20, processesLimit: 30,
    account: AttemptAccount(user: 1000, group: 0, home: "/home/a b"), bootID: "boot")

  @Test func `a request is read as it was written`() {
    var small = LaunchRecord(
      arguments: ["/bin/true"], environment: [:], workDirectory: "/", memoryLimitBytes: 0, logLimitBytes: 0,
      graceMilliseconds: 0)
    for request: SupervisorLink.Request in [
      .attempt(directory: "/a b/c", Self.launch), .attempt(directory: "/d", small), .attempt(directory: "/d", nil),
      .end(graceMilliseconds: 0), .end(graceMilliseconds: 5000),
    ] {
      #expect(SupervisorLink.Request(request.bytes) == request)
    }
    small.arguments = []
    #expect(SupervisorLink.Request.attempt(directory: "/d", small).bytes.count < 200)
  }

  @Test func `what does not fit, or cannot be told apart, is left to the file`() {
    var long = Self.launch
    long.environment["LONG"] = String(repeating: "x", count: SupervisorLink.launchLimit)
    var odd = Self.launch
    odd.environment["NUL"] = "a\0b"
    for launch in [long, odd] {
      let bytes = SupervisorLink.Request.attempt(directory: "/d", launch).bytes
      #expect(bytes.count < SupervisorLink.requestLimit)
      #expect(SupervisorLink.Request(bytes) == .attempt(directory: "/d", nil))
    }
  }

  @Test func `news are read as they were written, and anything else is none`() {
    for news: SupervisorLink.News in [.started, .unkept(exit: [1]), .ended(exit: []), .ended(exit: [0x7B, 0x7D])] {
      #expect(SupervisorLink.News(news.bytes) == news)
    }
    #expect(SupervisorLink.News([]) == nil)
    #expect(SupervisorLink.News(Array("SS".utf8)) == nil)
    for bytes in ["", "E", "Ex", "Z"] { #expect(SupervisorLink.Request(Array(bytes.utf8)) == nil) }
    #expect(SupervisorLink.Request(Array("A/d\u{0}half".utf8)) == .attempt(directory: "/d", nil))
  }

  @Test func `records are written as they are read`() throws {
    #expect(AttemptRecords.launch.decode(AttemptRecords.launch.encode(Self.launch)) == Self.launch)
    let identity = ProcessIdentity(pid: 7, startTicks: .max, bootID: "b\"\\\u{1}\u{7F}é")
    #expect(AttemptRecords.supervisor.decode(AttemptRecords.supervisor.encode(identity)) == identity)
    let data = try TemporaryDirectory()
    let directory = AttemptDirectory(path: data.path)
    let request = EndRequest(graceMilliseconds: 5)
    try directory.write(request)
    #expect(directory.endRequest == request)
    var exit = ExitAccount(
      termination: .init(kind: .notStarted, number: -1, message: "m"), atMilliseconds: 1, peakMemoryBytes: 2,
      memoryLimitBytes: 3, memoryLimitExceeded: true, memoryLimitExceededAtMilliseconds: 4,
      lastStderrLine: "say \"\\ \u{0}\n\u{1F600}", cpuSeconds: 1e-7, receipt: .init(processes: 5, how: "how"),
      wasAskedToEnd: true, limitExceeded: .init(text: "t", isMeasured: true), machineRestarted: false)
    #expect(AttemptRecords.exit.decode(AttemptRecords.exit.encode(exit)) == exit)
    exit = .unknown("", receipt: .init(processes: 0, how: ""), memoryLimitBytes: 0)
    #expect(AttemptRecords.exit.decode(AttemptRecords.exit.encode(exit)) == exit)
  }
}

@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(2)))
struct SupervisorPoolTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  private static let waits = "touch up; exec sleep 1000"

  /// Runs one to its end; who supervised it.
  @discardableResult
  private func run(
    _ command: String, number: Int, _ executor: LocalExecutor, _ seen: inout Observations,
    expecting termination: ExitRecord.Termination = .exited(0)
  ) async throws -> ProcessIdentity {
    let key = makeKey(number)
    executor.launch(key, makeLaunch(command)) { [] }
    let handle = try await seen.taken(key)
    let ended = try await seen.ended(key)
    #expect(ended.exit.termination == termination)
    return try #require(ProcessIdentity(reference: handle.reference))
  }

  /// What the largest file may have that a process writes; its children inherit it.
  private func limitFiles(of process: Int32, to bytes: String) throws {
    try limit(process, "fsize=\(bytes):")
  }

  private func limit(_ process: Int32, _ limit: String) throws {
    let program = try ProcessReference.Child(
      arguments: ["/usr/bin/prlimit", "--pid", "\(process)", "--\(limit)"], environment: [:]
    ).start(output: nil, error: nil)
    #expect(program.waitForEnd(.seconds(20)))
    program.reap()
  }

  @Test func `a supervisor without room for its first record lets the launch wait`() async throws {
    let (first, key, ended) = (makeKey(), makeKey(), makeKey())
    try await withExecutor(in: data) {
      $0.waitingSupervisors = 0
    } _: { executor, observations in
      executor.launch(first, makeLaunch("exit 0")) { [] }
      _ = try await observations.ended(first)
      let launcher = try #require(executor.launcher.process).identity.pid
      try limitFiles(of: launcher, to: "1")
      for key in [key, ended] {
        executor.launch(key, makeLaunch("echo run >> \(data.path)/runs; exit 7")) { [] }
        let words = try await observations.next { if case .delayed(key, let words) = $0 { words } else { nil } }
        #expect(words.contains("File too large"))
      }
      executor.end(ended, nil, grace: .zero)
      try await observations.next { if case .lost(ended, _) = $0 { () } else { nil } }
      try limitFiles(of: launcher, to: "unlimited")
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(7))
    }
    #expect(lines(of: "\(data.path)/runs").count == 1)
  }

  @Test func `a supervisor without room for the entrypoint lets the launch wait, whatever it lacks room for`()
    async throws
  {
    let first = makeKey()
    try await withExecutor(in: data) {
      $0.waitingSupervisors = 0
    } _: { executor, observations in
      executor.launch(first, makeLaunch("exit 0")) { [] }
      _ = try await observations.ended(first)
      let launcher = try #require(executor.launcher.process).identity.pid
      var (keys, words): ([AttemptKey], [String]) = ([], [])
      for count in 6..<20 {
        // One descriptor more, one step further.
        try limit(launcher, "nofile=\(count):")
        let key = makeKey()
        executor.launch(key, makeLaunch("echo run >> \(data.path)/runs; exit 7")) { [] }
        let delay = try await observations.next { observation -> String? in
          switch observation {
          case .delayed(key, let words): words
          case .started(key): ""
          // With fewer still it is no supervisor yet, and ends before it has anything of the attempt.
          case .lost(key, _), .ended(key, _, _): "never started"
          default: nil
          }
        }
        if delay == "never started" { continue }
        keys.append(key)
        words.append(delay)
      }
      #expect(words.contains { $0.contains("pipe: Too many open files") })
      try limit(launcher, "nofile=1024:")
      func ends() -> [ExitRecord.Termination] {
        observations.all.compactMap {
          if case .ended(let key, let exit, _) = $0, keys.contains(key) { exit.termination } else { nil }
        }
      }
      while ends().count < keys.count { try await observations.next { _ in () } }
      #expect(ends().allSatisfy { $0 == .exited(7) })
      #expect(lines(of: "\(data.path)/runs").count == keys.count)
    }
  }

  @Test func `a supervisor whose directory is removed ends what it has in hand, and itself`() async throws {
    let key = makeKey()
    var pid: Int32 = 0
    var worker: Int32 = 0
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("echo $$ > pid; exec sleep 1000")) { [] }
      pid = Int32(try await observations.taken(key).pid)
      let file = "\(data.attempt(key).work)/pid"
      #expect(await eventually { !lines(of: file).isEmpty })
      worker = try #require(Int32(lines(of: file)[0]))
    }
    #expect(isAlive(pid))
    // To another name it may go.
    try FileSystem.rename("\(data.path)/attempts", to: "\(data.path)/moved")
    try await Task.sleep(for: .milliseconds(1500))
    #expect(isAlive(worker))
    try FileManager.default.removeItem(atPath: "\(data.path)/moved")
    #expect(await eventually { !isAlive(pid) && !isAlive(worker) })
  }

  @Test func `attempts one after the other have one supervisor, each its own tree and account`() async throws {
    try await withExecutor(in: data) { executor, seen in
      var supervisors: Set<ProcessIdentity> = []
      for number in 1...20 {
        // What the entrypoint leaves behind is ended before the next one starts.
        let command = "setsid sleep 1000 & echo \(number) >&2; exit \(number)"
        let key = makeKey(number)
        executor.launch(key, makeLaunch(command)) { [] }
        let handle = try await seen.taken(key)
        let ended = try await seen.ended(key)
        supervisors.insert(try #require(ProcessIdentity(reference: handle.reference)))
        #expect(ended.exit.termination == .exited(Int32(number)))
        #expect(ended.exit.lastStderrLine == "\(number)")
        #expect(ended.receipt?.processes == 1)
        #expect(executor.supervisors.waiting.count == 1)
        let supervisor = try #require(executor.supervisors.waiting.first)
        let status = try #require(processStatus(of: supervisor.identity.pid))
        #expect(processChildren(of: status).isEmpty)
        #expect(Array(processArguments(of: status.pid).prefix(3).dropFirst()) == ["supervise", "--waiting"])
      }
      #expect(supervisors.count == 1)
    }
  }

  @Test func `processor time is of the attempt and not of those before it`() async throws {
    try await withExecutor(in: data) { executor, seen in
      let keys = [makeKey(1), makeKey(2)]
      executor.launch(keys[0], makeLaunch("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")) { [] }
      let first = try await seen.ended(keys[0])
      executor.launch(keys[1], makeLaunch("exit 0")) { [] }
      let second = try await seen.ended(keys[1])
      #expect(second.exit.cpuSeconds < first.exit.cpuSeconds / 2)
    }
  }

  @Test func `no more wait than the limit says, and those that do end by themselves`() async throws {
    try await withExecutor(in: data, change: { $0.waitingSupervisors = 2 }) { executor, seen in
      let keys = (1...5).map { makeKey($0) }
      var supervisors: [Int32] = []
      for key in keys {
        executor.launch(key, makeLaunch(Self.waits)) { [] }
        supervisors.append(Int32(try await seen.taken(key).pid))
      }
      #expect(Set(supervisors).count == 5)
      for key in keys {
        executor.end(key, nil, grace: .zero)
        _ = try await seen.ended(key)
        #expect(executor.supervisors.waiting.count <= 2)
      }
      #expect(await eventually { supervisors.filter(isAlive).count <= 2 })
      #expect(await eventually { supervisors.filter(isAlive).isEmpty })
      #expect(await eventually { executor.supervisors.waiting.isEmpty })
    }
  }

  @Test(arguments: [SIGKILL, SIGTERM]) func `one that ended while it waited is not missed`(signal: Int32) async throws {
    try await withExecutor(in: data) { executor, seen in
      for number in 1...30 {
        // At once, so that some of them are seen to be gone and some are not.
        executor.supervisors.waiting.first?.signal(signal)
        let key = makeKey(number)
        executor.launch(key, makeLaunch("echo run >> runs; exit 3")) { [] }
        let end = try await seen.next { observation -> Bool? in
          switch observation {
          case .ended(key, let exit, _): exit.termination == .exited(3)
          // Killed with the attempt in hand, before it could begin: nothing has run.
          case .lost(key, _): signal == SIGKILL
          default: nil
          }
        }
        #expect(end)
        #expect(lines(of: "\(data.attempt(key).work)/runs").count <= 1)
      }
    }
  }

  @Test func `an end that comes too late is not the next attempt's`() async throws {
    try await withExecutor(in: data) { executor, seen in
      for number in 1...30 {
        let key = makeKey(number)
        executor.launch(key, makeLaunch("exit 0")) { [] }
        try await seen.started(key)
        executor.end(key, nil, grace: .zero)
        _ = try await seen.ended(key)
        try await run("exit 5", number: 100 + number, executor, &seen, expecting: .exited(5))
      }
    }
  }

  @Test func `one that is told to end by others ends with its attempt`() async throws {
    try await withExecutor(in: data) { executor, seen in
      let key = makeKey()
      executor.launch(key, makeLaunch("trap 'exit 4' TERM; touch up; while :; do sleep 0.01; done")) { [] }
      let pid = Int32(try await seen.taken(key).pid)
      #expect(await eventually { exists("\(self.data.attempt(key).work)/up") })
      kill(pid, SIGTERM)
      let ended = try await seen.ended(key)
      #expect(ended.exit.finding?.cause == .preemption)
      #expect(await eventually { !isAlive(pid) })
      try await run("exit 0", number: 2, executor, &seen)
    }
  }

  @Test func `what hides from everybody but a living supervisor is ended when that one is killed`() async throws {
    try await withExecutor(in: data) { executor, seen in
      let keys = [makeKey(1), makeKey(2)]
      executor.launch(keys[0], makeLaunch(Self.waits)) { [] }
      let other = Int32(try await seen.taken(keys[0]).pid)
      try await seen.started(keys[0])
      executor.launch(
        keys[1],
        makeLaunch(
          """
          env -i setsid sh -c 'echo $$ >> pids; exec /bin/sleep 1000' &
          env -i setsid sh -c 'setsid sh -c "echo \\$\\$ >> pids; exec /bin/sleep 1000" & echo $$ >> pids; exec /bin/sleep 1000' &
          sleep 1000
          """)
      ) { [] }
      let pid = Int32(try await seen.taken(keys[1]).pid)
      let list = "\(data.attempt(keys[1]).work)/pids"
      #expect(await eventually { lines(of: list).count == 3 })
      let pids = lines(of: list).compactMap { Int32($0) }
      #expect(pids.count == 3 && pids.allSatisfy(isAlive))
      kill(pid, SIGKILL)
      _ = try await seen.ended(keys[1])
      #expect(!pids.contains(where: isAlive))
      #expect(isAlive(other))
      executor.end(keys[0], nil, grace: .zero)
      let ended = try await seen.ended(keys[0])
      #expect(ended.exit.termination == .signalled(SIGKILL))
    }
  }

  @Test func `an end that leaves no record, its directory being gone, is told all the same`() async throws {
    try await withExecutor(in: data) { executor, seen in
      let key = makeKey()
      executor.launch(key, makeLaunch("until [ -e \(data.path)/go ]; do sleep 0.01; done; exit 7")) { [] }
      try await seen.started(key)
      try FileManager.default.removeItem(atPath: data.attempt(key).path)
      try FileSystem.write([], to: "go", in: data.path)
      let ended = try await seen.ended(key)
      #expect(ended.exit.termination == .exited(7))
      try await run("exit 0", number: 2, executor, &seen)
    }
  }

  @Test func `those that wait end with their server`() async throws {
    var supervisor: ProcessIdentity?
    try await withExecutor(in: data) { executor, seen in
      supervisor = try await run("exit 0", number: 1, executor, &seen)
    }
    let identity = try #require(supervisor)
    #expect(await eventually(within: .seconds(1)) { reference(to: identity, collecting: true) == nil })
  }

  @Test func `a record of an ended attempt is not taken for its supervisor's next one`() async throws {
    let keys = [makeKey(1), makeKey(2)]
    let launches = keys.map { _ in makeLaunch("exit 6") }
    var pids: [Int64] = []
    try await withExecutor(in: data) { executor, seen in
      executor.launch(keys[0], launches[0]) { [] }
      pids.append(try await seen.taken(keys[0]).pid)
      _ = try await seen.ended(keys[0])
      executor.launch(keys[1], makeLaunch(Self.waits)) { [] }
      pids.append(try await seen.taken(keys[1]).pid)
      try await seen.started(keys[1])
      // As after a server that lost the news.
      executor.adopt(keys[0], nil, launches[0])
      let ended = try await seen.ended(keys[0])
      #expect(ended.exit.termination == .exited(6))
      #expect(isAlive(Int32(pids[1])))
    }
    #expect(pids[0] == pids[1])
    try await withExecutor(in: data) { executor, seen in
      for key in keys { executor.adopt(key, nil, launches[0]) }
      _ = try await seen.ended(keys[0])
      executor.end(keys[1], nil, grace: .zero)
      let ended = try await seen.ended(keys[1])
      #expect(ended.exit.termination == .signalled(SIGKILL))
    }
  }

  @Test func `what a power cut left of an attempt went with the machine`() async throws {
    let other = "00000000-0000-0000-0000-000000000000"
    let handle = ExecutorHandle(node: "here", pid: 7, reference: "7:1:\(other)")
    let keys = (1...3).map { makeKey($0) }
    // Of the first nothing is left, of the second an empty file, of the third all but its supervisor's record.
    for key in keys.dropFirst() {
      _ = try FileSystem.createDirectory("\(data.path)/attempts")
      _ = try data.attempt(key).create()
    }
    try FileSystem.write([], to: "records.jsonl", in: data.attempt(keys[1]).path)
    try await withExecutor(in: data) { executor, seen in
      let launch = makeLaunch("exit 0")
      var record = executor.launchRecord(keys[2], launch, in: data.attempt(keys[2]))
      record.bootID = other
      try data.attempt(keys[2]).begin(record)
      for (key, handle) in zip(keys, [handle, handle, nil]) {
        executor.adopt(key, handle, launch)
        let ended = try await seen.ended(key)
        #expect(ended.exit.finding?.cause == .nodeFailure)
      }
    }
  }
}
