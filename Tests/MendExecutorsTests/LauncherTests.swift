import FoundationEssentials
import Glibc
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendExecutors

@Suite struct LaunchAnswerTests {
  @Test(
    "an answer is read as it was written",
    arguments: [
      LaunchService.Answer(error: 0, pid: 4_194_304, startTicks: .max), LaunchService.Answer(error: EAGAIN),
      LaunchService.Answer(error: 0, pid: 1, startTicks: 1 << 40),
    ])
  func whole(answer: LaunchService.Answer) {
    #expect(answer.bytes.count == LaunchService.Answer.size)
    #expect(LaunchService.Answer(answer.bytes) == answer)
  }

  @Test func `one of another length is none`() {
    #expect(LaunchService.Answer([]) == nil)
    #expect(LaunchService.Answer([UInt8](repeating: 0, count: LaunchService.Answer.size - 1)) == nil)
  }
}

@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(3)))
struct LauncherTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// Waits in a way that ends with its supervisor.
  private static let waits = "touch up; exec sleep 1000"

  private func ends(_ key: AttemptKey, _ executor: LocalExecutor, _ seen: inout Observations) async throws {
    executor.end(key, nil, grace: .zero)
    _ = try await seen.ended(key)
  }

  /// A field of /proc/PID/status, in kB where it is memory.
  private func field(_ name: String, of pid: Int32) -> Int? {
    lines(of: "/proc/\(pid)/status").first { $0.hasPrefix(name + ":") }
      .flatMap { Int($0.split(whereSeparator: { $0 == "\t" || $0 == " " })[1]) }
  }

  @Test func `a supervisor is a copy of the launcher in a session, a place and under a name of its own`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, seen in
      executor.launch(key, makeLaunch(Self.waits)) { [] }
      let pid = Int32(try await seen.taken(key).pid)
      try await seen.started(key)
      let launcher = try #require(executor.launcher.process?.identity.pid)
      let status = try #require(processStatus(of: pid))
      #expect(status.parent == launcher)
      #expect(status.session == pid)
      // Whoever looks for supervisors does not find it.
      let named = processArguments(of: launcher).filter { !$0.isEmpty }
      let program = try #require(BuiltProgram.mend)
      #expect(named == [program, "launcher", "--data", data.path])
      let own = try #require(processStatus(of: launcher))
      #expect(processChildren(of: own) == [pid])
      let arguments = processArguments(of: pid)
      let directory = data.attempt(key)
      #expect(Array(arguments.prefix(5).dropFirst()) == ["supervise", "--directory", directory.path, "--lock"])
      #expect(arguments[0] == BuiltProgram.mend)
      // Nothing is left of the launcher's own.
      #expect(arguments.dropFirst(6).allSatisfy { $0.isEmpty })
      #expect((try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")) == "/")
      #expect(lines(of: "/proc/\(pid)/oom_score_adj") == lines(of: "/proc/self/oom_score_adj"))
      // The thread sanitizer has a thread of its own in each process that it looks at.
      let threads = dlsym(nil, "__tsan_init") == nil ? 1...1 : 1...2
      #expect(try threads.contains(#require(field("Threads", of: launcher))))
      #expect(try threads.contains(#require(field("Threads", of: pid))))
      try await ends(key, executor, &seen)
    }
  }

  @Test func `a supervisor and an entrypoint have the descriptors that they are to have`() async throws {
    let keys = [makeKey(), makeKey()]
    try await withExecutor(in: data) { executor, seen in
      var supervisors: [Int32] = []
      for key in keys {
        executor.launch(key, makeLaunch("ls -l /proc/self/fd; exec sleep 1000")) { [] }
        supervisors.append(Int32(try await seen.taken(key).pid))
        try await seen.started(key)
      }
      for (key, pid) in zip(keys, supervisors) {
        let directory = data.attempt(key)
        #expect(await eventually { lines(of: directory.standardOutput).count > 3 })
        let numbers = lines(of: directory.standardOutput).compactMap { line -> Substring? in
          let words = line.split(separator: " ")
          return words.count > 2 && words[words.count - 2] == "->" ? words[words.count - 3] : nil
        }
        // The last is what ls reads the directory with.
        #expect(numbers == ["0", "1", "2", "3"])
        let open = names(in: "/proc/\(pid)/fd").compactMap {
          try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")
        }
        // Its link to the server.
        #expect(open.filter { $0.hasPrefix("socket:") }.count == 1)
        let files = Set(open.filter { $0.hasPrefix(data.path) })
        let named = [directory.path, directory.records, directory.standardOutput, "\(data.path)/supervisors.log"]
        #expect(files == Set(named))
      }
      for key in keys { try await ends(key, executor, &seen) }
    }
  }

  @Test func `nothing of one attempt comes to the next`() async throws {
    let keys = [makeKey(), makeKey()]
    try await withExecutor(in: data) { executor, seen in
      executor.launch(keys[0], makeLaunch("exit 0", environment: ["SECRET": "one"], limits: .init(openFiles: 20))) {
        []
      }
      _ = try await seen.ended(keys[0])
      executor.launch(
        keys[1], makeLaunch("env; pwd; ulimit -n; umask; cat /proc/self/oom_score_adj; grep Sig /proc/self/status")
      ) { [] }
      _ = try await seen.ended(keys[1])
    }
    let output = lines(of: data.attempt(keys[1]).standardOutput)
    #expect(!output.contains { $0.contains("SECRET") })
    #expect(output.contains(Substring(data.attempt(keys[1]).work)))
    #expect(!output.contains("20"))
    #expect(output.contains("500"))
    #expect(output.contains("SigBlk:\t0000000000000000"))
    let ignored = output.first { $0.hasPrefix("SigIgn:\t") }.flatMap { UInt64($0.dropFirst(8), radix: 16) }
    // 32 and 33 are the C library's own; it resets them for nobody.
    #expect(ignored.map { $0 & ~(3 << 31) } == 0)
  }

  @Test func `a launcher that died is replaced at the next launch, and its supervisors go on`() async throws {
    let keys = (1...3).map { makeKey($0) }
    try await withExecutor(in: data) { executor, seen in
      executor.launch(keys[0], makeLaunch(Self.waits)) { [] }
      try await seen.started(keys[0])
      let first = try #require(executor.launcher.process)
      first.signal(SIGKILL)
      #expect(await eventually { executor.launcher.process == nil })
      #expect(!isAlive(first.identity.pid))
      executor.launch(keys[1], makeLaunch("exit 7")) { [] }
      let other = try await seen.ended(keys[1])
      #expect(other.exit.termination == .exited(7))
      let second = try #require(executor.launcher.process)
      #expect(second.identity != first.identity)
      // Asked to end, it does so, and takes nobody with it.
      second.signal(SIGTERM)
      #expect(await eventually { executor.launcher.process == nil })
      executor.end(keys[0], nil, grace: .zero)
      let ended = try await seen.ended(keys[0])
      #expect(ended.exit.termination == .signalled(SIGKILL))
      #expect(ended.receipt?.processes == 1)
    }
    let own = try #require(processStatus(of: getpid()))
    #expect(processChildren(of: own).allSatisfy { !(processStatus(of: $0)?.isDead ?? false) })
  }

  @Test func `a launcher that dies with a launch in hand is done without, and the attempt runs once`() async throws {
    let keys = (1...40).map { makeKey($0) }
    try await withExecutor(in: data) { executor, seen in
      executor.launch(keys[0], makeLaunch("exit 0")) { [] }
      _ = try await seen.ended(keys[0])
      for (number, key) in keys.enumerated().dropFirst() {
        let doomed = number.isMultiple(of: 4) ? executor.launcher.process : nil
        // In the midst of it, for it takes its launches only then.
        doomed?.signal(SIGSTOP)
        executor.launch(key, makeLaunch("echo run >> runs; exit 3")) { [] }
        if let doomed {
          #expect(await eventually { self.data.attempt(key).holds(AttemptRecords.launch) })
          doomed.signal(SIGKILL)
        }
        let ended = try await seen.ended(key)
        #expect(ended.exit.termination == .exited(3))
        #expect(lines(of: "\(data.attempt(key).work)/runs").count == 1)
      }
    }
  }

  @Test func `a program that knows no launcher is started for each attempt`() async throws {
    let program = "\(data.path)/mend"
    let real = try #require(BuiltProgram.mend)
    let text = "#!/bin/sh\n[ \"$2\" = --launches ] && exit 64\nexec \(real) \"$@\"\n"
    try FileSystem.write(Array(text.utf8), to: "mend", in: data.path)
    try FileSystem.permit(program, mode: 0o700)
    try await withExecutor(in: data, mend: program) { executor, seen in
      for number: Int32 in 1...3 {
        let key = makeKey(Int(number))
        executor.launch(key, makeLaunch("exit \(number)")) { [] }
        let ended = try await seen.ended(key)
        #expect(ended.exit.termination == .exited(number))
      }
    }
  }

  @Test func `the launcher ends with its server, and supervisors are found by the next`() async throws {
    let keys = (1...3).map { makeKey($0) }
    let launches = keys.map { _ in makeLaunch(Self.waits) }
    var launcher: ProcessReference?
    try await withExecutor(in: data) { executor, seen in
      for (key, launch) in zip(keys, launches) {
        executor.launch(key, launch) { [] }
        try await seen.started(key)
      }
      launcher = executor.launcher.process
    }
    let gone = try #require(launcher)
    #expect(reference(to: gone.identity) == nil)
    try await withExecutor(in: data) { executor, seen in
      for (key, launch) in zip(keys, launches) {
        executor.adopt(key, nil, launch)
        let pid = Int32(try await seen.taken(key).pid)
        #expect(isAlive(pid))
        try await ends(key, executor, &seen)
      }
    }
  }

  @Test func `a thousand launches leave no process, no zombie and no larger launcher`() async throws {
    let rounds = 10
    try await withExecutor(in: data) { executor, seen in
      var before = (memory: 0, descriptors: 0)
      for round in 0..<rounds {
        let keys = (1...100).map { makeKey(round * 100 + $0) }
        for key in keys { executor.launch(key, makeLaunch("exit 0")) { [] } }
        var missing = Set(keys)
        while !missing.isEmpty {
          missing.remove(
            try await seen.next { observation -> AttemptKey? in
              if case .ended(let key, let exit, _) = observation, exit.termination == .exited(0) { key } else { nil }
            })
        }
        let launcher = try #require(executor.launcher.process?.identity.pid)
        let status = try #require(processStatus(of: launcher))
        #expect(await eventually { processChildren(of: status).isEmpty })
        let now = (
          memory: try #require(field("VmRSS", of: launcher)),
          descriptors: names(in: "/proc/\(launcher)/fd").count
        )
        if round == 1 { before = now }
        if round == rounds - 1 {
          // The address sanitizer keeps what was freed, so that it knows it when it is used.
          if dlsym(nil, "__asan_init") == nil { #expect(now.memory - before.memory < 256, "kB") }
          #expect(now.descriptors == before.descriptors)
        }
      }
    }
    let own = try #require(processStatus(of: getpid()))
    #expect(processChildren(of: own).allSatisfy { !(processStatus(of: $0)?.isDead ?? false) })
  }
}
