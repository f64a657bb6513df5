import FoundationEssentials
import Glibc
import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendExecutors

/// What cannot be read is not taken for what is not there.
@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(1)))
struct UnreachedTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// Launches it, and lets the executor go once it runs.
  private func leave(_ key: AttemptKey, _ launch: Launch) async throws -> ExecutorHandle {
    var handle: ExecutorHandle?
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, launch) { [] }
      handle = try await observations.taken(key)
      try await observations.started(key)
    }
    return try #require(handle)
  }

  private func link(_ path: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
  }

  @Test func `an attempt whose directory cannot be looked at is looked at again until it can`() async throws {
    let key = makeKey()
    let launch = makeLaunch(AdoptionTests.waiting)
    let handle = try await leave(key, launch)
    let directory = data.attempt(key)
    let elsewhere = "\(data.path)/elsewhere"
    try FileSystem.rename(directory.path, to: elsewhere)
    // Neither there nor not there: too many levels of links.
    try link(directory.path, to: directory.path)
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, handle, launch)
      // What is asked for behind it is carried out after the first look.
      let other = makeKey(2, batch: key.batch.batchID)
      executor.launch(other, makeLaunch("exit 3")) { [] }
      _ = try await observations.ended(other)
      #expect(!observations.all.contains { if case .lost(key, _) = $0 { true } else { false } })
      let hidden = observations.all.compactMap { if case .hidden(key, let words?) = $0 { words } else { nil } }
      #expect(hidden.count == 1 && hidden[0].contains("symbolic links"))
      #expect(isAlive(Int32(handle.pid)))
      FileSystem.remove(directory.path)
      try FileSystem.rename(elsewhere, to: directory.path)
      #expect(try await observations.taken(key) == handle)
      #expect(FileManager.default.createFile(atPath: "\(directory.work)/go", contents: nil))
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .exited(5))
      #expect(observations.all.contains(.hidden(key, message: nil)))
    }
    #expect(lines(of: "\(directory.work)/runs").count == 1)
  }

  @Test func `a start that cannot be seen has one look due, for as long as the attempt is watched`() async throws {
    let key = makeKey()
    let directory = data.attempt(key)
    let process = try ProcessReference.Child(arguments: ["/bin/sleep", "100"], environment: [:])
      .start(output: nil, error: nil)
    defer { process.signal(SIGKILL) }
    try await withExecutor(in: data) { executor, observations in
      // That for strays.
      #expect(await eventually { executor.watcher.timerCount == 1 })
      _ = try directory.create()
      #expect(rmdir(directory.path) == 0)
      try link(directory.path, to: directory.path)
      executor.state.withLock {
        $0.attempts[key] = .watched(LocalExecutor.WatchedAttempt(generation: 7, process: process))
      }
      for _ in 0..<10 { executor.announceStart(key, 7) }
      #expect(executor.watcher.timerCount == 2)
      executor.forget(key)
      executor.announceStart(key, 7)
      #expect(await eventually { executor.watcher.timerCount == 1 })
    }
  }

  @Test func `a stray that could not be looked at is not called hidden any more once it could`() async throws {
    let key = makeKey()
    let directory = data.attempt(key)
    try await withExecutor(in: data) { executor, observations in
      _ = try directory.create()
      #expect(rmdir(directory.path) == 0)
      try link(directory.path, to: directory.path)
      executor.endStray(key, reference: "1:1:another-boot")
      let words = try await observations.next { if case .hidden(key, let words?) = $0 { words } else { nil } }
      #expect(words.contains("symbolic links"))
      FileSystem.remove(directory.path)
      try await observations.next { $0 == .hidden(key, message: nil) ? () : nil }
    }
  }

  enum Replacement: CaseIterable { case pipe, device, directory, hole }

  private func replace(_ path: String, by replacement: Replacement) throws {
    FileSystem.remove(path)
    switch replacement {
    case .pipe: #expect(mkfifo(path, 0o600) == 0)
    case .device: try link(path, to: "/dev/zero")
    case .directory: #expect(try FileSystem.createDirectory(path))
    case .hole:
      #expect(FileManager.default.createFile(atPath: path, contents: nil))
      #expect(truncate(path, 2 << 30) == 0)
    }
  }

  @Test(arguments: Replacement.allCases)
  func `records that somebody put something in the place of hold nothing up`(replacement: Replacement) async throws {
    let key = makeKey()
    let launch = makeLaunch("sleep 100")
    let handle = try await leave(key, launch)
    let directory = data.attempt(key)
    kill(pid_t(handle.pid), SIGKILL)
    #expect(await eventually { !isAlive(Int32(handle.pid)) })
    try replace(directory.records, by: replacement)
    try await withExecutor(in: data) { executor, observations in
      executor.adopt(key, handle, launch)
      let ended = try await observations.ended(key)
      guard case .unknown(let why) = ended.exit.termination else {
        Issue.record("\(ended.exit.termination)")
        return
      }
      #expect(why.contains("records.jsonl is"))
      #expect(why.contains("which Mend did not write"))
    }
  }

  @Test(arguments: [Replacement.pipe, .device, .directory])
  func `so does a log`(replacement: Replacement) async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch("echo x; exit 0")) { [] }
      _ = try await observations.ended(key)
      try replace(data.attempt(key).standardOutput, by: replacement)
      let piece = await executor.log(of: key, nil, .standardOutput, from: 0, limit: 100)
      #expect(piece == .success(LogPiece(offset: 0, bytes: [])))
    }
  }

  @Test func `a request to end that somebody put a pipe in the place of leaves the attempt its own grace`() async throws
  {
    let key = makeKey()
    let handle = try await leave(key, makeLaunch("sleep 100"))
    #expect(mkfifo("\(data.attempt(key).path)/end.json", 0o600) == 0)
    kill(pid_t(handle.pid), SIGTERM)
    #expect(await eventually { data.attempt(key).holds(AttemptRecords.exit) })
  }

  @Test func `what is another data directory's is not adopted, ended or called a stray`() async throws {
    let (key, other) = (makeKey(), makeKey())
    var own = makeLaunch("sleep 1.5")
    own.parameters.server = "copy"
    var launch = makeLaunch(AdoptionTests.waiting)
    launch.parameters.server = "original"
    var pid: Int32 = 0
    try await withExecutor(in: data) {
      $0.identity = ServerIdentity(id: "original", ownsNameless: true)
    } _: { executor, observations in
      executor.launch(key, launch) { [] }
      pid = Int32(try await observations.taken(key).pid)
      try await observations.started(key)
    }
    let directory = data.attempt(key)
    // As it looks in a copy: nobody holds the lock, and nobody's arguments name the place.
    let group = directory.path.split(separator: "/").dropLast().last.map(String.init) ?? ""
    let elsewhere = try TemporaryDirectory()
    let copied = AttemptDirectory(of: key, below: "\(elsewhere.path)/attempts")
    try FileManager.default.createDirectory(
      atPath: "\(elsewhere.path)/attempts/\(group)", withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: directory.path, toPath: copied.path)
    for place in [elsewhere, data] {
      try await withExecutor(in: place) {
        $0.identity = ServerIdentity(id: "copy", ownsNameless: false)
        $0.strayScanDelay = .zero
        $0.strayScanInterval = .milliseconds(50)
      } _: { executor, observations in
        executor.adopt(key, nil, launch)
        try await observations.next { if case .lost(key, _) = $0 { () } else { nil } }
        executor.end(key, nil, grace: .zero)
        try await observations.next { if case .lost(key, _) = $0 { () } else { nil } }
        executor.launch(key, launch) { [] }
        try await observations.next { if case .lost(key, _) = $0 { () } else { nil } }
        executor.forget(key.batch)
        executor.launch(other, own) { [] }
        _ = try await observations.ended(other)
        executor.forget(other.batch)
        #expect(await eventually { !exists(AttemptDirectory(of: other, below: "\(place.path)/attempts").path) })
        #expect(!observations.all.contains { if case .duplicate = $0 { true } else { false } })
      }
    }
    #expect(!exists(copied.path))
    #expect(isAlive(pid))
    #expect(FileManager.default.createFile(atPath: "\(directory.work)/go", contents: nil))
    #expect(await eventually { directory.holds(AttemptRecords.exit) })
    #expect(try directory.read(AttemptRecords.exit)?.termination.number == 5)
  }

  @Test func `files of a batch that is not known are removed, and no others`() async throws {
    let (unknown, known, running) = (makeKey(), makeKey(), makeKey())
    try await withExecutor(in: data) {
      $0.isKnown = { $0 == known.batch }
      $0.unknownScanInterval = .milliseconds(300)
    } _: { executor, observations in
      executor.launch(running, makeLaunch("sleep 100")) { [] }
      try await observations.started(running)
      for key in [known, unknown] {
        executor.launch(key, makeLaunch("exit 0")) { [] }
        _ = try await observations.ended(key)
      }
      #expect(await eventually { !exists(data.attempt(unknown).path) })
      #expect(exists(data.attempt(known).path))
      #expect(exists(data.attempt(running).path))
      executor.end(running, nil, grace: .zero)
      _ = try await observations.ended(running)
      #expect(await eventually { !exists(data.attempt(running).path) })
    }
  }
}
