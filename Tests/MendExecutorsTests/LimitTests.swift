import Glibc
import MendCore
import TestSupport
import Testing

@testable import MendExecutors

@Suite(
  .enabled(if: BuiltProgram.mend != nil, "needs the program `mend`, next to the tests or in MEND_BINARY"), .serialized,
  .timeLimit(.minutes(1)))
struct LimitTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  /// Runs it to its end.
  private func end(_ entrypoint: String, _ limits: AttemptLimits, _ key: AttemptKey = makeKey()) async throws
    -> (exit: ExitRecord, receipt: EndReceipt?)
  {
    var result: (exit: ExitRecord, receipt: EndReceipt?)?
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(entrypoint, limits: limits)) { [] }
      result = try await observations.ended(key)
    }
    return try #require(result)
  }

  @Test func `a tree that multiplies beyond its limit of processes is ended wholly`() async throws {
    let key = makeKey()
    // Without the limit there would be two thousand of them.
    let bomb = "b() { [ $1 -gt 9 ] && exec sleep 100; b $(($1 + 1)) & b $(($1 + 1)) & wait; }; b 0"
    let ended = try await end(bomb, AttemptLimits(processes: 20), key)
    #expect(ended.exit.finding?.cause == .resourceLimit)
    #expect(ended.exit.finding?.confidence == .high)
    #expect(ended.exit.finding?.text.contains("limit of 20") == true)
    #expect(ended.receipt?.how == "SIGKILL over a limit")
    #expect(leftovers(of: data.attempt(key)).isEmpty)
  }

  /// Whose parents end at once, in one session and in one each; and one that does nothing but multiply. Without the limit
  /// there would be two thousand of each.
  @Test(arguments: [
    "[ $1 -gt 10 ] && exec sleep 100; sh $0 $(($1 + 1)) & sh $0 $(($1 + 1)) &",
    "[ $1 -gt 10 ] && exec sleep 100; setsid sh $0 $(($1 + 1)) & setsid sh $0 $(($1 + 1)) &",
    "exec perl -e 'fork for 1..11; sleep 100'",
  ]) func `so is one that multiplies faster than it can be counted`(bomb: String) async throws {
    let key = makeKey()
    try FileSystem.write(Array(bomb.utf8), to: "bomb", in: data.path)
    let ended = try await end("sh \(data.path)/bomb 0; sleep 100", AttemptLimits(processes: 40), key)
    #expect(ended.exit.finding?.cause == .resourceLimit)
    #expect(ended.exit.finding?.text.contains("limit of 40") == true)
    #expect(leftovers(of: data.attempt(key)).isEmpty)
  }

  @Test func `as many processes as are allowed are let be`() async throws {
    let ended = try await end("sleep 0.3 & sleep 0.3 & wait", AttemptLimits(processes: 3))
    #expect(ended.exit.termination == .exited(0))
    #expect(ended.exit.finding == nil)
  }

  @Test func `processor time of one and of many that come and go is held to its limit`() async throws {
    for entrypoint in [
      "while :; do :; done", "while :; do sh -c 'i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done'; done",
    ] {
      let ended = try await end(entrypoint, AttemptLimits(cpuSeconds: 0.4))
      #expect(ended.exit.finding?.cause == .resourceLimit)
      #expect(ended.exit.finding?.text.contains("limit of 0.4 s") == true)
      #expect(ended.exit.cpuSeconds >= 0.3)
    }
  }

  @Test func `waiting takes no processor time`() async throws {
    let ended = try await end("sleep 0.6", AttemptLimits(cpuSeconds: 0.4))
    #expect(ended.exit.termination == .exited(0))
    #expect(ended.exit.finding == nil)
  }

  @Test func `open files beyond the limit are refused, and what was said of it is the finding`() async throws {
    let opens = "perl -e 'my @f; while (1) { open(my $h, q(<), q(/dev/null)) or die $!; push @f, $h }'"
    let ended = try await end("ulimit -n; ulimit -H -n; \(opens)", AttemptLimits(openFiles: 64))
    #expect(ended.exit.finding?.cause == .resourceLimit)
    #expect(ended.exit.finding?.confidence == .medium)
    #expect(ended.exit.finding?.text.contains("limit of 64 open files") == true)
    let other = try await end("echo 'Too many open files' >&2; exit 1", AttemptLimits())
    #expect(other.exit.finding == nil)
  }

  @Test func `without a limit of its own it may raise the one that the server was started with`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) {
      $0.softOpenFilesLimit = 123
    } _: { executor, observations in
      executor.launch(key, makeLaunch("ulimit -S -n; ulimit -S -n 200 && ulimit -S -n")) { [] }
      _ = try await observations.ended(key)
    }
    #expect(lines(of: data.attempt(key).standardOutput) == ["123", "200"])
  }

  /// Holds 64 MiB (Perl takes as much again while it makes them), and forks four times.
  private func forking(_ child: String) -> String {
    "exec perl -e '$x = q(x) x 1; $x x= 64 << 20; for (1..4) { next if fork; \(child); exit } 1 while wait > 0'"
  }

  @Test func `pages that forked processes have in common count once`() async throws {
    let key = makeKey()
    let limit: Int64 = 200 << 20
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(forking("select undef, undef, undef, 0.7"), memory: limit)) { [] }
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .exited(0))
      #expect(!ended.exit.memoryLimitExceeded)
      #expect(ended.exit.peakMemoryBytes > 64 << 20)
      #expect(ended.exit.peakMemoryBytes <= limit)
    }
  }

  @Test(arguments: [0, 1 << 40] as [Int64]) func `nor do they in what is remembered of it, whatever the limit`(
    limit: Int64
  ) async throws {
    let key = makeKey()
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(forking("select undef, undef, undef, 0.7"), memory: limit)) { [] }
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .exited(0))
      #expect(ended.exit.peakMemoryBytes > 64 << 20)
      // As they would count each for itself: five times that, at the least.
      #expect(ended.exit.peakMemoryBytes <= 200 << 20)
    }
  }

  @Test func `once they are written to they count for each`() async throws {
    let key = makeKey()
    let limit: Int64 = 200 << 20
    let writes =
      "select undef, undef, undef, 0.3; for ($i = 0; $i < length $x; $i += 4096) { substr($x, $i, 1) = q(y) } sleep 100"
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(forking(writes), memory: limit)) { [] }
      let ended = try await observations.ended(key)
      #expect(ended.exit.memoryLimitExceeded)
      #expect(ended.exit.peakMemoryBytes > limit)
    }
  }

  @Test func `looking after many processes takes little of a processor`() async throws {
    let key = makeKey()
    let many = "i=0; while [ $i -lt 600 ]; do sleep 1000 & i=$((i+1)); done; touch up; wait"
    try await withExecutor(in: data) { executor, observations in
      executor.launch(key, makeLaunch(many, limits: AttemptLimits(processes: 2000))) { [] }
      let pid = Int32(try await observations.taken(key).pid)
      #expect(await eventually { exists("\(data.attempt(key).work)/up") })
      func ticks() throws -> Double { Double(try #require(processStatus(of: pid)).processorTicks) }
      let (before, began) = (try ticks(), ContinuousClock.now)
      try await Task.sleep(for: .seconds(2))
      let used = (try ticks() - before) / ProcessTable.ticksPerSecond
      #expect(used < 0.15 * Double((ContinuousClock.now - began).milliseconds) / 1000)
      executor.end(key, nil, grace: .zero)
      _ = try await observations.ended(key)
    }
  }

  @Test func `logs are kept within the job's own limit`() async throws {
    let key = makeKey()
    _ = try await end("head -c 1000000 /dev/zero", AttemptLimits(logBytes: 65_536), key)
    let directory = data.attempt(key)
    let sizes = names(in: directory.path).filter { $0.hasPrefix("stdout.log") }
      .map { contents(of: "\(directory.path)/\($0)")?.count ?? 0 }
    #expect(sizes.reduce(0, +) <= 65_536)
    #expect(sizes.reduce(0, +) >= 32_768)
  }

  @Test func `limits survive in what a supervisor is told`() throws {
    let directory = AttemptDirectory(path: data.path)
    let launch = LaunchRecord(
      arguments: ["/bin/true"], environment: [:], workDirectory: "/", memoryLimitBytes: 1, logLimitBytes: 2,
      graceMilliseconds: 3, cpuLimitSeconds: 0.5, openFilesLimit: 4, processesLimit: 5,
      account: AttemptAccount(user: 6, group: 7, home: "/home"))
    try directory.begin(launch)
    #expect(try directory.read(AttemptRecords.launch) == launch)
  }
}

@Suite(
  .enabled(if: BuiltProgram.mend != nil && geteuid() == 0, "needs root and the program `mend`"), .serialized,
  .timeLimit(.minutes(1)))
struct AttemptAccountTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  @Test func `an entrypoint runs as its user, in its own directory, and reads nothing of the server's`() async throws {
    let key = makeKey()
    let nobody = try AttemptAccount(name: "nobody")
    try FileSystem.write([0x78], to: "secret", in: data.path)
    _ = chmod("\(data.path)/secret", 0o644)
    try await withExecutor(in: data) {
      $0.account = nobody
    } _: { executor, observations in
      executor.launch(
        key,
        makeLaunch(
          """
          id -u > who; id -G >> who; pwd >> who; echo "$HOME" >> who
          echo x > "$TMPDIR/x" && cat "$MEND_MANIFEST" > /dev/null && echo fine > /dev/stderr || exit 1
          cat ../records.jsonl && exit 2
          cat '\(data.path)/secret' && exit 3
          ls '\(data.path)' && exit 4
          exit 0
          """)
      ) { [] }
      let ended = try await observations.ended(key)
      #expect(ended.exit.termination == .exited(0), "\(ended.exit.lastStderrLine)")
    }
    let work = data.attempt(key).work
    #expect(
      lines(of: "\(work)/who").map(String.init) == ["\(nobody.user)", "\(nobody.group)", work, nobody.home])
  }

  @Test func `another user's processes end with their killed supervisor`() async throws {
    let key = makeKey()
    try await withExecutor(in: data) {
      $0.account = try? AttemptAccount(name: "nobody")
    } _: { executor, observations in
      executor.launch(key, makeLaunch("echo $$ > pid; setsid sleep 100 & sleep 100")) { [] }
      let handle = try await observations.taken(key)
      let file = "\(data.attempt(key).work)/pid"
      #expect(await eventually { !lines(of: file).isEmpty })
      let entrypoint = try #require(Int32(lines(of: file)[0]))
      kill(pid_t(handle.pid), SIGKILL)
      _ = try await observations.ended(key)
      #expect(!isAlive(entrypoint))
      #expect(leftovers(of: data.attempt(key)).isEmpty)
    }
  }

  @Test func `a user that is not there, and root, are refused`() {
    #expect(throws: LocalExecutor.SetupError.self) { try AttemptAccount(name: "no-such-user") }
    #expect(throws: LocalExecutor.SetupError.self) { try AttemptAccount(name: "root") }
  }
}
