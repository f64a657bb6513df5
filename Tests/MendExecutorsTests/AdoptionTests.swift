import FoundationEssentials
import Glibc
import MendCore
import TestSupport
import Testing

@testable import MendExecutors

@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(1)))
struct AdoptionTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// Ends with 5 once the file `go` is in its work directory; writes a line to `runs` each time it is run.
  static let waiting = "echo run >> runs; while [ ! -e go ]; do sleep 0.02; done; exit 5"

  func letGo(_ key: AttemptKey) {
    #expect(FileManager.default.createFile(atPath: "\(data.attempt(key).work)/go", contents: nil))
  }

  /// Has an executor start the attempt, and stops the executor while the attempt runs.
  @discardableResult
  private func leaveRunning(_ key: AttemptKey, _ launch: Launch) async throws -> ExecutorHandle {
    var handle: ExecutorHandle?
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, launch) { [] }
      handle = try await observations.taken(key)
      try await observations.started(key)
    }
    return try #require(handle)
  }

  @Test func `a new executor adopts a running attempt and sees its end`() async throws {
    let key = makeKey()
    let launch = makeLaunch(Self.waiting)
    let handle = try await leaveRunning(key, launch)
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, handle, launch)
      #expect(try await observations.taken(key) == handle)
      try await observations.started(key)
      letGo(key)
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(5))
    }
    #expect(lines(of: "\(data.attempt(key).work)/runs").count == 1)
  }

  @Test(arguments: [false, true])
  func `records that are cut under an adopted attempt cost no second run, and are named`(killed: Bool) async throws {
    let key = makeKey()
    let launch = makeLaunch(Self.waiting)
    let handle = try await leaveRunning(key, launch)
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, handle, launch)
      try await observations.started(key)
      #expect(truncate(data.attempt(key).records, 0) == 0)
      if killed { kill(pid_t(handle.pid), SIGKILL) } else { letGo(key) }
      let outcome = try await observations.ended(key)
      if !killed { return #expect(outcome.exit.termination == .exited(5)) }
      guard case .unknown(let why) = outcome.exit.termination else {
        Issue.record("\(outcome.exit.termination)")
        return
      }
      #expect(why.contains("records.jsonl is empty") && why.contains("is not known"))
    }
  }

  @Test func `a running attempt of a directory that was renamed is led to it`() async throws {
    let key = makeKey()
    let launch = makeLaunch(Self.waiting)
    try await leaveRunning(key, launch)
    let read = try data.attempt(key).read(AttemptRecords.launch)
    let endpoint = try #require(read?.environment["MEND_ENDPOINT"])
    #expect(endpoint == "unix:\(data.path)/mend.sock")
    // A second name of the same directory is as good as a rename, and the harness keeps its own.
    let earlier = data.path + "-earlier"
    for (path, expected) in [(earlier, FileSystem.Leading.linked(earlier)), (earlier, .led), (data.path, .led)] {
      #expect(FileSystem.leadThere(from: path, to: data.path) == expected)
    }
    // Renamed twice: what the first link leads to is the name that is missing.
    let first = data.path + "-first"
    try FileManager.default.createSymbolicLink(atPath: first, withDestinationPath: data.path + "-second")
    #expect(FileSystem.leadThere(from: first, to: data.path) == .linked(data.path + "-second"))
    #expect(FileSystem.leadThere(from: first, to: data.path) == .led)
    guard case .failed(let why) = FileSystem.leadThere(from: "/tmp", to: data.path) else {
      Issue.record("something else was taken for it")
      return
    }
    #expect(why.contains("something else"))
    for path in [earlier, first, data.path + "-second"] { FileSystem.remove(path) }
    letGo(key)
    #expect(await eventually { data.attempt(key).holds(AttemptRecords.exit) })
  }

  @Test func `an end that nobody watched is told at adoption`() async throws {
    let key = makeKey()
    let launch = makeLaunch(Self.waiting)
    try await leaveRunning(key, launch)
    letGo(key)
    #expect(await eventually { data.attempt(key).holds(AttemptRecords.exit) })
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, nil, launch)
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(5))
    }
  }

  @Test func `a launch is carried out once, however often it is asked for`() async throws {
    let key = makeKey()
    let launch = makeLaunch(Self.waiting)
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, launch) { [] }
      executor.launch(key, launch) { [] }
      let first = try await observations.taken(key)
      #expect(try await observations.taken(key) == first)
    }
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, launch) { [] }
      try await observations.started(key)
      letGo(key)
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(5))
      executor.launch(key, launch) { [] }
      let again = try await observations.ended(key)
      #expect(again.exit.termination == .exited(5))
    }
    #expect(lines(of: "\(data.attempt(key).work)/runs").count == 1)
  }

  @Test func `a launch that was cut off before its supervisor started is carried out`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      _ = try data.attempt(key).create()
      executor.launch(key, makeLaunch("exit 6")) { [] }
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(6))
    }
  }

  @Test func `adopting what was never started, or is not there, is answered with lost`() async throws {
    let (unstarted, unknown) = (makeKey(), makeKey())
    try await withExecutor(in: data) { executor, observations in
      _ = try data.attempt(unstarted).create()
      executor.adopt(unstarted, nil, makeLaunch("exit 0"))
      try await observations.next { if case .lost(unstarted, _) = $0 { () } else { nil } }
      executor.adopt(unknown, nil, makeLaunch("exit 0"))
      try await observations.next { if case .lost(unknown, _) = $0 { () } else { nil } }
    }
  }

  @Test func `what a killed supervisor left is ended at adoption`() async throws {
    let key = makeKey()
    let launch = makeLaunch("setsid sleep 100 & sleep 100")
    let handle = try await leaveRunning(key, launch)
    let directory = data.attempt(key)
    #expect(await eventually { leftovers(of: directory).count == 3 })
    kill(pid_t(handle.pid), SIGKILL)
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, handle, launch)
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination.isUnknown, "\(ended.exit.termination)")
    }
    #expect(leftovers(of: directory).isEmpty)
  }

  @Test func `an attempt whose supervisor's record is damaged is found again, and its end is told`() async throws {
    let key = makeKey()
    let launch = makeLaunch(Self.waiting)
    let directory = data.attempt(key)
    let handle = try await leaveRunning(key, launch)
    try "garbage".write(toFile: directory.records, atomically: false, encoding: .utf8)
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, nil, launch)
      #expect(try await observations.taken(key) == handle)
      kill(pid_t(handle.pid), SIGKILL)
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination.isUnknown, "\(ended.exit.termination)")
    }
    #expect(leftovers(of: directory).isEmpty)
  }

  @Test func `a damaged record of a supervisor that is gone is an attempt that nobody saw end`() async throws {
    let key = makeKey()
    let directory = data.attempt(key)
    try await withExecutor(in: data) { executor, observations in
      _ = try directory.create()
      let damaged = Data(#"{"supervisor":{"pi"#.utf8)
      #expect(FileManager.default.createFile(atPath: directory.records, contents: damaged))
      executor.adopt(key, nil, makeLaunch("exit 0"))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination.isUnknown, "\(ended.exit.termination)")
    }
  }

  @Test func `after a restart of the machine nothing is looked for`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      let directory = data.attempt(key)
      _ = try directory.create()
      // This very process, in another life of the machine.
      let own = try #require(processStatus(of: getpid()))
      var file = try AttemptRecordFile(in: directory)
      try file.append(
        ProcessIdentity(pid: own.pid, startTicks: own.startTicks, bootID: "another"), as: AttemptRecords.supervisor)
      executor.adopt(key, nil, makeLaunch("exit 0"))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .unknown("the machine was restarted"))
      #expect(ended.exit.finding?.cause == .nodeFailure)
      #expect(ended.exit.finding?.confidence == .high)
    }
  }

  @Test func `a running attempt that nobody asked for is reported as a stray`() async throws {
    let key = makeKey()
    let launch = makeLaunch("sleep 100")
    let handle = try await leaveRunning(key, launch)
    try await withExecutor(in: data) {
      $0.strayScanDelay = .zero
    } _: { executor, observations in
      let reference = try await observations.next { observation in
        if case .duplicate(key, let reference) = observation { reference } else { nil }
      }
      #expect(reference == handle.reference)
      executor.endStray(key, reference: reference)
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .signalled(SIGTERM) && outcome.exit.finding == nil)
    }
  }

  @Test func `what an earlier batch of the same name left is not taken for this one's`() async throws {
    let key = makeKey()
    let launch = makeLaunch("exit 4")
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("exit 3")) { [] }
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(3))
    }
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, nil, launch)
      try await observations.next { if case .lost(key, _) = $0 { () } else { nil } }
      executor.launch(key, launch) { [] }
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(4))
      #expect(await eventually { names(in: "\(data.path)/removed").isEmpty })
    }
  }

  @Test func `what an earlier server did not come to delete is deleted`() async throws {
    let left = "\(data.path)/removed/0/work/a"
    try FileManager.default.createDirectory(atPath: left, withIntermediateDirectories: true)
    try await withExecutor(in: data) { executor, observations in
      #expect(await eventually { names(in: "\(data.path)/removed").isEmpty })
      #expect(observations.all.isEmpty)
    }
  }

  @Test func `a batch that comes again keeps what is its own`() async throws {
    let (key, large, last) = (makeKey(), makeKey(), makeKey())
    let many = "perl -e 'for (1..3000) { open F, \">\", $_ or die; close F }'"
    try await withExecutor(in: data) { executor, observations in
      for (key, command) in [(key, "exit 3"), (large, many), (last, "exit 3")] {
        executor.launch(key, makeLaunch(command)) { [] }
        _ = try await observations.ended(key)
      }
      executor.forget(large.batch)
      #expect(await eventually { !exists(data.attempt(large).path) })
      // While that is being deleted nobody looks for what else was forgotten.
      executor.forget(key.batch)
      executor.launch(key, makeLaunch("exit 4")) { [] }
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(4))
      executor.forget(last.batch)
      #expect(await eventually { !exists(data.attempt(last).path) })
      #expect(data.attempt(key).holds(AttemptRecords.exit))
    }
  }

  @Test func `whatever a job leaves in its directory is removed, and nothing that it points to`() async throws {
    let key = makeKey()
    let victim = "\(data.path)/victim"
    try FileManager.default.createDirectory(atPath: victim, withIntermediateDirectories: true)
    #expect(FileManager.default.createFile(atPath: "\(victim)/kept", contents: nil))
    // Deeper than a path can say (PATH_MAX is 4096).
    let deep = "for (1..100) { mkdir \"d\" x 120 or die; chdir \"d\" x 120 or die }"
    let command = """
      ln -s \(victim) link && mkdir shut && touch shut/a && chmod 0 shut && mkfifo pipe && touch "$(printf 'a\\377')" &&
      perl -e '\(deep)'
      """
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(command)) { [] }
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(0))
      executor.forget(key.batch)
      #expect(await eventually { !exists(data.attempt(key).path) })
      #expect(await eventually { names(in: "\(data.path)/removed").isEmpty })
    }
    #expect(exists("\(victim)/kept"))
  }

  @Test func `a launch waits for what runs of an earlier batch of the same name`() async throws {
    let key = makeKey()
    try await leaveRunning(key, makeLaunch(Self.waiting))
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("exit 4")) { [] }
      let words = try await observations.next { if case .delayed(key, let words) = $0 { words } else { nil } }
      #expect(words.contains("an earlier batch with its name"))
      letGo(key)
      let outcome = try await observations.ended(key)
      #expect(outcome.exit.termination == .exited(4))
    }
  }

  @Test func `files of ended attempts are removed on demand, those of running ones stay`() async throws {
    let (ended, running) = (makeKey(1, batch: "same"), makeKey(2, batch: "same"))
    let (other, kept) = (makeKey(), makeKey())
    try await withExecutor(in: data) { executor, observations in
      executor.launch(ended, makeLaunch("exit 0")) { [] }
      _ = try await observations.ended(ended)
      for key in [other, kept] {
        executor.launch(key, makeLaunch("exit 0")) { [] }
        _ = try await observations.ended(key)
      }
      executor.launch(running, makeLaunch("sleep 100")) { [] }
      try await observations.started(running)
      executor.forget(ended.batch)
      executor.forget(other.batch)
      #expect(await eventually { [ended, other].allSatisfy { !exists(data.attempt($0).path) } })
      #expect(exists(data.attempt(kept).path))
      #expect(exists(data.attempt(running).path))
      executor.end(running, nil, grace: .seconds(10))
      _ = try await observations.ended(running)
    }
  }
}

extension ExitRecord.Termination {
  fileprivate var isUnknown: Bool { if case .unknown = self { true } else { false } }
}
