import MendCore
import Testing

@testable import MendExecutors

/// What a final answer of Ray's means for the attempt.
@Suite struct RayEndTests {
  let key = AttemptKey(batch: BatchKey(namespace: "a", batchID: "b"), job: JobID(tier: 0, index: 0), number: 1)
  let now = Instant(milliseconds: 2_000_000_000_000)

  func observation(_ job: RayJob, asked: Bool = false, nodeIsAlive: Bool? = nil) -> Observation {
    RayEnd(job: job, wasAskedFor: asked, nodeIsAlive: nodeIsAlive, now: now).observation(key)
  }

  func failed(_ type: String, _ message: String, code: Int32? = nil) -> RayJob {
    var job = RayJob(submissionID: "x", status: .failed)
    job.errorType = type
    job.message = message
    job.driverExitCode = code
    return job
  }

  func exit(_ observation: Observation) throws -> ExitRecord {
    guard case .ended(key, let exit, _) = observation else { throw Unexpected(observation: observation) }
    return exit
  }

  struct Unexpected: Error { var observation: Observation }

  @Test func `exit 0 and exit 3 of a real Ray are exits, at Ray's time, with the log's last line`() async throws {
    let success = try exit(observation(try await recordedJob("get_ok-1", "ok-1")))
    #expect(success == ExitRecord(termination: .exited(0), at: Instant(milliseconds: 1_795_306_336_775)))
    let failure = try exit(observation(try await recordedJob("get_fail-3", "fail-3")))
    #expect(failure.termination == .exited(3))
    #expect(failure.lastStderrLine == "failing")
    #expect(failure.finding == nil)
  }

  @Test func `a driver that Ray killed for memory is out of memory, by Ray's sentence`() async throws {
    let job = try await recordedJob("get_oom_driver_beyond_entrypoint_memory", "oom-driver")
    let exit = try exit(observation(job))
    let finding = try #require(exit.finding)
    #expect((finding.cause, finding.confidence) == (.oom, .medium))
    #expect(finding.text.contains("killed due to the node running low on memory"))
    #expect(RayEnd.isDoubtful(job))
  }

  @Test(
    "what never ran is a failed launch",
    arguments: [
      ("RUNTIME_ENV_SETUP_FAILURE", "runtime_env setup failed: no such file", FailureCause.environmentSetup),
      ("", "runtime_env setup failed: no such file", .environmentSetup),
      ("JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "Job supervisor actor failed to start within 900 seconds.", .startTimeout),
      ("", "Job supervisor actor failed to start within 900 seconds.", .startTimeout),
      ("JOB_SUPERVISOR_ACTOR_START_FAILURE", "Failed to start supervisor actor", .engineFault),
      (
        "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE", "Job supervisor actor could not be scheduled: the node has died",
        .nodeFailure
      ),
    ])
  func launchFailures(type: String, message: String, cause: FailureCause) {
    guard case .launchFailed(key, cause, _) = observation(failed(type, message)) else {
      return #expect(Bool(false), "\(observation(failed(type, message)))")
    }
  }

  @Test(
    "Ray's sentences name causes that its fields cannot",
    arguments: [
      ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", FailureCause.oom),
      ("Workers (tasks / actors) killed due to memory pressure (OOM)", .oom),
      ("The process is killed by SIGKILL by OOM killer due to high memory usage", .oom),
      ("Task failed because the node it was running on is dead or unavailable.", .nodeFailure),
      ("Owner's node has crashed.", .nodeFailure),
      ("The node was preempted.", .preemption),
    ])
  func sentences(text: String, cause: FailureCause) throws {
    let tail =
      "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"
      + "ray.exceptions.RaySystemError: System error.\n\(text)\n"
    let byEntrypoint = try exit(observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", tail, code: 1)))
    #expect(byEntrypoint.termination == .exited(1))
    #expect(byEntrypoint.finding?.cause == cause)
    let bySupervisor = try exit(observation(failed("JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: \(text)")))
    #expect(bySupervisor.finding?.cause == cause)
    #expect(bySupervisor.finding?.confidence == .medium)
  }

  @Test(
    "what the entrypoint wrote itself names no preemption and no dead node",
    arguments: [
      "ValueError: option 'preemption_mode' is not known", "the job was preempted by its user: wrote a checkpoint",
      "AssertionError: node died in the test's graph", "INFO the spot node was preempted last week",
    ])
  func ownWords(text: String) throws {
    let tail =
      "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n\(text)\n"
    let end = try exit(observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", tail, code: 1)))
    #expect(end.finding == nil)
    #expect(end.lastStderrLine == text)
  }

  static let log = "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"
  static let retried = "(raylet) 3 Workers (tasks / actors) killed due to memory pressure (OOM), 0 Workers crashed\n"
  static let outOfMemory = """
    Traceback (most recent call last):
      File "a.py", line 3, in <module>
    ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.

    """
  static let badSchema = """
    Traceback (most recent call last):
      File "a.py", line 9, in <module>
    ValueError: bad schema

    """
  static let direct = "The above exception was the direct cause of the following exception:\n\n"

  @Test(
    "what Ray said of a task that it ran again, and what the driver caught, did not end it",
    arguments: [
      (retried + badSchema, nil), (badSchema + retried, nil), (outOfMemory + "caught\n" + badSchema, nil),
      (
        outOfMemory.replacing("OutOfMemoryError", with: "NodeDiedError").replacing(
          "the node running", with: "node died, ")
          + badSchema, nil
      ),
      (String(outOfMemory.split(separator: "\n").last!) + "\n" + badSchema, nil),
      ("ray.exceptions.WorkerCrashedError: The worker died unexpectedly\n" + badSchema, nil),
      (outOfMemory + direct + badSchema, .oom), (badSchema + outOfMemory, .oom), (outOfMemory + retried, .oom),
      ("starting\n" + retried, .oom), (retried + "going on\n", nil),
    ] as [(String, FailureCause?)])
  func otherwiseEnded(log: String, cause: FailureCause?) throws {
    let job = failed("JOB_ENTRYPOINT_COMMAND_ERROR", Self.log + log, code: 1)
    let end = try exit(observation(job))
    #expect(end.termination == .exited(1))
    #expect(end.finding?.cause == cause, "\(log)")
    // The few lines that Ray repeats may be its workers' alone; then the log itself tells.
    let brief = failed("JOB_ENTRYPOINT_COMMAND_ERROR", Self.log + "(f pid=9) x\n", code: 1)
    #expect(RayEnd.isUnexplained(brief))
    let told = RayEnd(job: brief, wasAskedFor: false, now: Instant(milliseconds: 0), logEnd: log).observation(key)
    #expect(try exit(told).finding?.cause == cause, "\(log)")
  }

  @Test func `of several causes that Ray lists none is taken for the one, and all are told`() throws {
    let message =
      "Job supervisor actor died: The actor died unexpectedly before finishing this task. Worker exit type: SYSTEM_ERROR "
      + "Worker exit detail: Worker unexpectedly exits with a connection error code 2. End of file. There are some "
      + "potential root causes. (1) The process is killed by SIGKILL by OOM killer due to high memory usage. (2) ray stop "
      + "--force is called. (3) The worker is crashed unexpectedly due to SIGSEGV or other unexpected errors."
    let finding = try #require(try exit(observation(failed("JOB_SUPERVISOR_ACTOR_DIED", message))).finding)
    #expect((finding.cause, finding.confidence) == (.engineFault, .low))
    for cause in ["OOM killer", "ray stop", "SIGSEGV"] { #expect(finding.text.contains(cause)) }
    let dead = try #require(
      try exit(observation(failed("JOB_SUPERVISOR_ACTOR_DIED", message), nodeIsAlive: false)).finding)
    #expect((dead.cause, dead.confidence) == (.nodeFailure, .medium))
  }

  @Test func `the node's figures and who held its memory are told`() throws {
    let message =
      "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"
      + "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n"
      + "Memory on the node (IP: 10.0.0.7, ID: ab) where the task (name=f, pid=12) was running was 31.91GB / 33.28GB "
      + "(0.958), which exceeds the memory usage threshold of 0.95. Ray killed this worker.\n"
      + "Top 10 memory users:\nPID\tMEM(GB)\tCOMMAND\n12\t12.18\tray::f\n44\t9.02\tpython serve.py\n"
    let finding = try #require(try exit(observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", message, code: 1))).finding)
    #expect(finding.cause == .oom)
    for figure in ["31.91GB / 33.28GB", "12.18 GB by ray::f", "9.02 GB"] { #expect(finding.text.contains(figure)) }
  }

  @Test func `the package that could not be had is named`() {
    let message =
      "runtime_env setup failed: Failed to set up runtime environment.\nCould not create the actor\n"
      + "ERROR: Could not find a version that satisfies the requirement nosuch==9\n"
      + "ERROR: No matching distribution found for nosuch==9\n"
    guard case .launchFailed(_, .environmentSetup, let text) = observation(failed("RUNTIME_ENV_SETUP_FAILURE", message))
    else { return #expect(Bool(false)) }
    #expect(text.contains("No matching distribution found for nosuch==9"))
  }

  @Test(
    "an environment that Ray could not read is no fault of Ray's",
    arguments: [
      "Failed to start supervisor actor x: '/nowhere is not a valid path.'. Full traceback:\nTraceback\n  File \"/r/"
        + "_private/runtime_env/packaging.py\", line 264, in parse_path\n",
      "Failed to start supervisor actor x: '`working_dir` must be a string, got <class 'int'>.'. Full traceback:\n"
        + "    updated_options[\"runtime_env\"] = parse_runtime_env_for_task_or_actor(\n",
    ])
  func malformedEnvironment(message: String) {
    let job = failed("JOB_SUPERVISOR_ACTOR_START_FAILURE", message)
    guard case .launchFailed(key, .environmentSetup, let text) = observation(job) else {
      return #expect(Bool(false), "\(observation(job))")
    }
    #expect(text.contains("Failed to start supervisor actor x"))
  }

  @Test func `of a task's out of memory the last lines are enough`() throws {
    let tail =
      "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"
      + "328\t0.08\tray::DashboardAgent\nRefer to the documentation on how to address the out of memory issue: "
      + "https://docs.ray.io/en/latest/x.html. Set max_retries to enable retry when the task crashes due to OOM.\n"
    let exit = try exit(observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", tail, code: 1)))
    #expect(exit.termination == .exited(1))
    #expect(exit.finding?.cause == .oom)
  }

  @Test(
    "a worker process that died under its driver is a crash, where Ray names nothing else",
    arguments: [
      "ray.exceptions.WorkerCrashedError: The worker died unexpectedly while executing this task.",
      "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Some "
        + "common causes include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop",
    ])
  func crashes(text: String) throws {
    let tail = "Job entrypoint command failed with exit code 1, last available logs:\n\(text)\n"
    let byEntrypoint = try exit(observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", tail, code: 1)))
    #expect(byEntrypoint.finding?.cause == .signal)
    #expect(byEntrypoint.finding?.text.contains(text.prefix(40)) == true)
    let bySupervisor = try exit(observation(failed("JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: \(text)")))
    #expect(bySupervisor.finding?.cause == .engineFault)
    #expect(bySupervisor.lastStderrLine == "")
  }

  @Test(
    "what Ray writes into a job's log is no last line of it",
    arguments: [
      ("exit 9", "caf\u{fffd}\nRunning entrypoint for job x: exit 9\n", "caf\u{fffd}"),
      ("a\nb", "real\nRunning entrypoint for job x: a\nb\n", "real"),
      ("a\nb", "Running entrypoint for job x: a\nb\nreal\n\n", "real"),
      ("kill -9 $$", "Running entrypoint for job x: kill -9 $$\n", "Job entrypoint command failed with exit code 9, l"),
    ])
  func lastLine(entrypoint: String, log: String, last: String) throws {
    var job = failed(
      "JOB_ENTRYPOINT_COMMAND_ERROR",
      "Job entrypoint command failed with exit code 9, l\n2026-11-22 12:39:19,335\tINFO job_manager.py:581 -- Runtime env "
        + "is setting up.\n\(log)", code: 9)
    job.entrypoint = entrypoint
    #expect(try exit(observation(job)).lastStderrLine == last)
  }

  @Test func `a start that took too long names the environment that was made in that time`() {
    var job = failed("JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "Job supervisor actor failed to start within 900 seconds.")
    job.runtimeParts = ["pip", "working_dir"]
    guard case .launchFailed(key, .startTimeout, let text) = observation(job) else { return #expect(Bool(false)) }
    #expect(text.contains("(pip, working_dir)"))
  }

  @Test func `a supervisor that died is its node's fault where the node is dead, else the engine's`() throws {
    let job = failed("JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: The actor is dead")
    #expect(try exit(observation(job, nodeIsAlive: false)).finding?.cause == .nodeFailure)
    #expect(try exit(observation(job, nodeIsAlive: true)).finding?.cause == .engineFault)
    #expect(try exit(observation(job)).finding?.cause == .engineFault)
  }

  @Test func `exit 137 without a word is left to the core, and a negative code is a signal`() throws {
    let killed = try exit(
      observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", "Job entrypoint command failed", code: 137)))
    #expect((killed.termination, killed.finding) == (.exited(137), nil))
    let signalled = try exit(
      observation(failed("JOB_ENTRYPOINT_COMMAND_ERROR", "Job entrypoint command failed", code: -9)))
    #expect(signalled.termination == .signalled(9))
  }

  @Test func `an old version's exit code is read from its message`() throws {
    let exit = try exit(observation(failed("", "Job entrypoint command failed with exit code 12, last available logs")))
    #expect(exit.termination == .exited(12))
  }

  @Test func `an entrypoint that could not be started is told as such`() throws {
    let message = "Traceback (most recent call last):\nFileNotFoundError: [Errno 2] No such file or directory: 'x'\n"
    let exit = try exit(observation(failed("JOB_ENTRYPOINT_COMMAND_START_ERROR", message)))
    #expect(exit.termination == .notStarted("FileNotFoundError: [Errno 2] No such file or directory: 'x'"))
  }

  @Test func `STOPPED is a receipt where it was asked for, and somebody else's doing where it was not`() async throws {
    let job = try await recordedJob("get_stop-1", "stop-1")
    guard case .ended(key, _, let receipt?) = observation(job, asked: true) else {
      throw Unexpected(observation: observation(job))
    }
    #expect(receipt.how == "ended by Ray (SIGTERM, then SIGKILL); it says STOPPED")
    #expect(try exit(observation(job)).finding?.cause == .signal)
  }

  @Test func `a cluster whose clock is behind ends nothing before its launch`() throws {
    var job = failed("JOB_ENTRYPOINT_COMMAND_ERROR", "", code: 1)
    job.endTime = now.milliseconds - 3_600_000
    #expect(try exit(observation(job)).at == Instant(milliseconds: job.endTime))
    let launched = Instant(milliseconds: now.milliseconds - 5000)
    let end = RayEnd(job: job, wasAskedFor: false, nodeIsAlive: nil, now: now, earliest: launched)
    #expect(try exit(end.observation(key)).at == launched)
  }

  @Test func `a driver whose workers wrote last is explained by the error in its log`() throws {
    let noise = "\u{1b}[36m(f pid=924)\u{1b}[0m Fatal Python error: Segmentation fault\n"
    let job = failed(
      "JOB_ENTRYPOINT_COMMAND_ERROR", "Job entrypoint command failed with exit code 1, last available logs:\n\(noise)",
      code: 1)
    #expect(RayEnd.isUnexplained(job))
    func end(_ log: String) throws -> ExitRecord {
      try exit(RayEnd(job: job, wasAskedFor: false, nodeIsAlive: nil, now: now, logEnd: log).observation(key))
    }
    let error = "ray.exceptions.WorkerCrashedError: The worker died unexpectedly while executing this task. Check x"
    let crash = try end(
      "Traceback (most recent call last):\n  File \"x\", line 4\n\(noise)    raise value\n\(error)\n\(noise)")
    #expect(crash.finding?.cause == .signal)
    #expect(crash.lastStderrLine == error)
    // A crash that the driver survived, before its own error, is not the cause.
    let own = try end(
      "Traceback (most recent call last):\n\(error)\nTraceback (most recent call last):\n  x\nKeyError: 7\n")
    #expect(own.finding == nil)
    #expect(own.lastStderrLine == "KeyError: 7")
    #expect(try end("").lastStderrLine == "(f pid=924) Fatal Python error: Segmentation fault")
  }

  @Test func `what Ray explains itself, or no worker wrote over, needs no log`() {
    let head = "Job entrypoint command failed with exit code 1, last available logs:\n"
    let noise = "(f pid=924) Fatal Python error\n"
    #expect(!RayEnd.isUnexplained(failed("JOB_ENTRYPOINT_COMMAND_ERROR", "\(head)KeyError: 7\n", code: 1)))
    let told = "\(head)\(noise)ray.exceptions.WorkerCrashedError: The worker died unexpectedly\n"
    #expect(!RayEnd.isUnexplained(failed("JOB_ENTRYPOINT_COMMAND_ERROR", told, code: 1)))
    #expect(!RayEnd.isUnexplained(failed("JOB_ENTRYPOINT_COMMAND_ERROR", head + noise, code: -9)))
    #expect(!RayEnd.isUnexplained(failed("JOB_SUPERVISOR_ACTOR_DIED", noise)))
  }

  @Test func `a cluster whose clock is ahead ends nothing in the future`() throws {
    var job = failed("JOB_ENTRYPOINT_COMMAND_ERROR", "", code: 1)
    job.endTime = now.milliseconds + 60_000
    #expect(try exit(observation(job)).at == now)
  }
}
