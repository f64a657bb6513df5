import MendCore
import Testing

@testable import MendExecutors

/// The machine behind the executor, on a clock that the test moves.
@Suite struct RayAttemptsTests {
  let key = AttemptKey(batch: BatchKey(namespace: "a", batchID: "b"), job: JobID(tier: 0, index: 0), number: 1)
  let id = "mend_a_b_t0-j0_1"
  let start = ContinuousClock().now
  let wall = Instant(milliseconds: 2_000_000_000_000)

  func machine(change: (inout RayAttempts.Settings) -> Void = { _ in }) -> RayAttempts {
    var settings = RayAttempts.Settings()
    // Behind what most of the tests are about.
    settings.firstStrayScan = .seconds(30)
    change(&settings)
    var machine = RayAttempts(settings: settings, installation: "here", at: start)
    // The questions that every start begins with.
    _ = machine.next(at: start, underWay: 0)
    _ = machine.take(.version(.success(RayVersion(sessionName: "s1", rayVersion: "2"))), at: start, wallClock: wall)
    _ = machine.take(.nodes(.success([])), at: start, wallClock: wall)
    machine.lists.resources = ""
    return machine
  }

  func submission(_ key: AttemptKey, token: String = "token") -> RaySubmission {
    RaySubmission(
      submissionID: RaySubmissionID.make(key), entrypoint: "true", environment: [:],
      metadata: RayMetadata.make(key, token: token, installation: "here"), cpus: 1, gpus: 0, memoryBytes: 0)
  }

  func job(_ status: RayJob.Status, token: String = "token", installation: String = "here") -> RayJob {
    var job = RayJob(submissionID: id, status: status)
    job.metadata = RayMetadata.make(key, token: token, installation: installation)
    return job
  }

  func launch(_ machine: inout RayAttempts, at now: RayAttempts.Moment? = nil) {
    machine.launch(key, submission(key), fence: RayMetadata.mark(of: "token"), at: now ?? start)
  }

  func seen(_ job: RayJob?, session: String? = nil) -> RayAttempts.Answer {
    .seen(id: id, .success(RayAttempts.Sight(job: job, session: session)))
  }

  /// A machine whose attempt runs at `start`.
  func running() -> RayAttempts {
    var machine = machine()
    launch(&machine)
    _ = machine.next(at: start, underWay: 0)
    _ = machine.take(.submitted(id: id, .success(())), at: start, wallClock: wall)
    _ = machine.next(at: start + .seconds(1), underWay: 0)
    _ = machine.take(seen(job(.running)), at: start + .seconds(1), wallClock: wall)
    return machine
  }

  func loss(_ news: [Observation]) -> String? {
    if news.count == 1, case .lost(key, let message)? = news.first { message } else { nil }
  }

  func launchFailure(_ news: [Observation]) -> (cause: FailureCause, message: String)? {
    if news.count == 1, case .launchFailed(key, let cause, let message)? = news.first { (cause, message) } else { nil }
  }

  func end(_ news: [Observation]) -> (exit: ExitRecord, receipt: EndReceipt?)? {
    if news.count == 1, case .ended(key, let exit, let receipt)? = news.first { (exit, receipt) } else { nil }
  }

  @Test func `a launch is submitted, taken, and started when Ray says RUNNING`() {
    var machine = machine()
    launch(&machine)
    #expect(machine.next(at: start, underWay: 0).calls == [.submit(id: id, submission(key))])
    // While it is under way nothing more is asked.
    #expect(machine.next(at: start, underWay: 1).calls == [])
    let handle = ExecutorHandle(node: "", reference: id)
    #expect(machine.take(.submitted(id: id, .success(())), at: start, wallClock: wall) == [.taken(key, handle)])
    #expect(machine.next(at: start + .seconds(1), underWay: 0).calls == [.look(id: id, thoroughly: false)])
    #expect(machine.take(seen(job(.pending)), at: start + .seconds(1), wallClock: wall) == [])
    var running = job(.running)
    running.driverNodeID = "node-1"
    #expect(
      machine.take(seen(running), at: start + .seconds(2), wallClock: wall)
        == [.taken(key, ExecutorHandle(node: "node-1", reference: id)), .started(key)])
    #expect(machine.take(seen(running), at: start + .seconds(3), wallClock: wall) == [])
  }

  @Test(
    "after a submission without a good answer Ray is asked first, and what it has is taken",
    arguments: [
      RayError.unknown("timed out"), .refused(status: 500, "already exists"), .unreachable("refused"),
    ])
  func doubt(error: RayError) {
    var machine = machine()
    launch(&machine)
    _ = machine.next(at: start, underWay: 0)
    #expect(machine.take(.submitted(id: id, .failure(error)), at: start, wallClock: wall) == [])
    #expect(machine.next(at: start, underWay: 0).calls == [.look(id: id, thoroughly: false)])
    let news = machine.take(seen(job(.pending)), at: start, wallClock: wall)
    #expect(news == [.taken(key, ExecutorHandle(node: "", reference: id))])
  }

  @Test func `what Ray lost is submitted again, under the same id, up to a bound`() {
    var machine = machine { $0.submissions = 2 }
    launch(&machine)
    var now = start
    for round in 1...2 {
      #expect(machine.next(at: now, underWay: 0).calls == [.submit(id: id, submission(key))])
      _ = machine.take(.submitted(id: id, .failure(.unknown("lost"))), at: now, wallClock: wall)
      _ = machine.next(at: now, underWay: 0)
      let news = machine.take(seen(nil), at: now, wallClock: wall)
      if round < 2 {
        #expect(news == [])
      } else {
        #expect(launchFailure(news)?.cause == .engineFault)
      }
      now += .seconds(5)
    }
    #expect(machine.entries.isEmpty)
  }

  @Test func `a token that may look and not submit is a fault of the set-up, after some tries`() throws {
    var machine = machine { $0.submissions = 2 }
    launch(&machine)
    var news: [Observation] = []
    for second in 0..<2 {
      let now = start + .seconds(5 * second)
      _ = machine.next(at: now, underWay: 0)
      _ = machine.take(.submitted(id: id, .failure(.denied("read-only"))), at: now, wallClock: wall)
      _ = machine.next(at: now, underWay: 0)
      news = machine.take(seen(nil), at: now, wallClock: wall)
    }
    #expect(try #require(launchFailure(news)).cause == .environmentSetup)
  }

  @Test func `what Ray refuses for good is a failed launch at once`() throws {
    var machine = machine()
    launch(&machine)
    _ = machine.next(at: start, underWay: 0)
    _ = machine.take(.submitted(id: id, .failure(.refused(status: 400, "TypeError"))), at: start, wallClock: wall)
    _ = machine.next(at: start, underWay: 0)
    let news = machine.take(seen(nil), at: start, wallClock: wall)
    let (cause, message) = try #require(launchFailure(news))
    #expect(cause == .environmentSetup)
    #expect(message.contains("TypeError"))
  }

  @Test func `another server's job of the same name is neither taken nor stopped`() {
    var machine = machine()
    launch(&machine)
    _ = machine.next(at: start, underWay: 0)
    _ = machine.take(.submitted(id: id, .failure(.refused(status: 500, "exists"))), at: start, wallClock: wall)
    _ = machine.next(at: start, underWay: 0)
    let news = machine.take(seen(job(.running, token: "other", installation: "there")), at: start, wallClock: wall)
    #expect(launchFailure(news)?.cause == .environmentSetup)
    machine.end(key, id: id, at: start)
    #expect(machine.next(at: start, underWay: 0).calls == [.look(id: id, thoroughly: false)])
    let ending = machine.take(seen(job(.running, token: "other", installation: "there")), at: start, wallClock: wall)
    #expect(loss(ending) != nil)
  }

  @Test func `a job that is gone is lost after a second look, and a new session is the evidence`() throws {
    var machine = running()
    var now = start + .seconds(2)
    _ = machine.next(at: now, underWay: 0)
    #expect(machine.take(seen(nil), at: now, wallClock: wall) == [])
    #expect(machine.next(at: now + .seconds(1), underWay: 0).calls == [])
    now += .seconds(3)
    #expect(machine.next(at: now, underWay: 0).calls == [.look(id: id, thoroughly: true)])
    let news = machine.take(seen(nil, session: "s2"), at: now, wallClock: wall)
    let message = try #require(loss(news))
    #expect(message.contains("head was restarted (session s1 before, s2 now)"))
  }

  @Test func `a failure that a failover may have made up is looked at twice`() throws {
    var machine = running()
    var failed = job(.failed)
    failed.errorType = "JOB_SUPERVISOR_ACTOR_DIED"
    failed.message = "Job supervisor actor died: x"
    let now = start + .seconds(2)
    #expect(machine.take(seen(failed), at: now, wallClock: wall) == [])
    #expect(machine.take(seen(job(.running)), at: now + .seconds(3), wallClock: wall) == [])
    #expect(machine.take(seen(failed), at: now + .seconds(4), wallClock: wall) == [])
    let news = machine.take(seen(failed), at: now + .seconds(7), wallClock: wall)
    let (exit, receipt) = try #require(end(news))
    #expect(exit.finding?.cause == .engineFault)
    #expect(receipt == nil)
  }

  @Test func `a failure that Ray's words do not explain is looked up in the log, once`() throws {
    var machine = running()
    var failed = job(.failed)
    failed.errorType = "JOB_ENTRYPOINT_COMMAND_ERROR"
    failed.driverExitCode = 1
    failed.message =
      "Job entrypoint command failed with exit code 1, last available logs\n(f pid=9) Fatal Python error\n"
    let now = start + .seconds(3)
    _ = machine.next(at: now, underWay: 0)
    #expect(machine.take(seen(failed), at: now, wallClock: wall) == [])
    #expect(machine.next(at: now, underWay: 0).calls.contains(.examine(id: id)))
    let sight = RayAttempts.Sight(job: failed, logEnd: "")
    let ended = try #require(end(machine.take(.seen(id: id, .success(sight)), at: now, wallClock: wall)))
    #expect(ended.exit.termination == .exited(1))
    #expect(machine.entries.isEmpty)
  }

  @Test func `an end is a stop, and looks until Ray's state is final`() {
    var machine = running()
    var now = start + .seconds(2)
    machine.end(key, id: id, at: now)
    #expect(machine.next(at: now, underWay: 0).calls == [.stop(id: id)])
    #expect(machine.take(.stopped(id: id, .success(true)), at: now, wallClock: wall) == [])
    now += .milliseconds(300)
    #expect(machine.next(at: now, underWay: 0).calls == [.look(id: id, thoroughly: false)])
    // The next answer still says RUNNING: a stop is no proof.
    #expect(machine.take(seen(job(.running)), at: now, wallClock: wall) == [])
    now += .seconds(16)
    #expect(machine.next(at: now, underWay: 0).calls == [.stop(id: id)])
    _ = machine.take(.stopped(id: id, .success(true)), at: now, wallClock: wall)
    let news = machine.take(seen(job(.stopped)), at: now + .seconds(1), wallClock: wall)
    #expect(end(news)?.receipt != nil)
    #expect(machine.entries.isEmpty)
  }

  @Test func `a job that waits for room and was stopped is not proven gone until Ray says so`() {
    var machine = running()
    machine.end(key, id: id, at: start)
    var now = start
    for _ in 0..<100 {
      for call in machine.next(at: now, underWay: 0).calls {
        switch call {
        case .stop: #expect(machine.take(.stopped(id: id, .success(true)), at: now, wallClock: wall) == [])
        case .look: #expect(machine.take(seen(job(.pending)), at: now, wallClock: wall) == [])
        default: break
        }
      }
      now += .seconds(1)
    }
    #expect(machine.entries[id]?.end?.stops ?? 0 > 1)
    #expect(machine.entries[id]?.end?.stops ?? 0 < 10)
  }

  @Test func `silence is told once as unreachable, then one question at a time is asked`() {
    var machine = running()
    var now = start + .seconds(2)
    var news: [Observation] = []
    while !machine.reach.isAway, now < start + .seconds(60) {
      if machine.next(at: now, underWay: 0).calls.contains(.look(id: id, thoroughly: false)) {
        news += machine.take(.seen(id: id, .failure(.unreachable("connection refused"))), at: now, wallClock: wall)
      }
      now += .seconds(1)
    }
    #expect(news == [.unreachable(.ray, message: "Ray: it cannot be reached: connection refused")])
    now += .seconds(5)
    #expect(machine.next(at: now, underWay: 0).calls == [.look(id: id, thoroughly: false)])
    #expect(machine.next(at: now, underWay: 1).calls == [])
    #expect(machine.take(seen(job(.running)), at: now, wallClock: wall) == [.reachable(.ray)])
  }

  @Test func `a dead node is believed at the second look, and only while Ray says the job lives`() throws {
    var machine = running()
    var onNode = job(.running)
    onNode.driverNodeID = "n"
    var now = start + .seconds(2)
    _ = machine.take(seen(onNode), at: now, wallClock: wall)
    now = start + .seconds(20)
    #expect(machine.next(at: now, underWay: 0).calls.contains(.nodes(withStatus: false)))
    #expect(!machine.next(at: now, underWay: 0).calls.contains(.nodes(withStatus: false)))
    let dead = RayAttempts.Answer.nodes(.success([RayNode(id: "n", isAlive: false)]))
    func look(alive: Bool?) -> RayAttempts.Answer {
      .seen(id: id, .success(RayAttempts.Sight(job: onNode, nodeIsAlive: alive)))
    }
    #expect(machine.take(dead, at: now, wallClock: wall) == [])
    // A list that does not name it, or says that it lives after all, ends nothing.
    #expect(machine.take(look(alive: nil), at: now + .seconds(3), wallClock: wall) == [])
    #expect(machine.take(look(alive: true), at: now + .seconds(3), wallClock: wall) == [])
    #expect(machine.take(look(alive: false), at: now + .seconds(3), wallClock: wall) == [])
    #expect(machine.take(dead, at: now + .seconds(15), wallClock: wall) == [])
    #expect(
      machine.next(at: now + .seconds(18), underWay: 0).calls.contains(.look(id: id, thoroughly: true)))
    let (exit, _) = try #require(end(machine.take(look(alive: false), at: now + .seconds(18), wallClock: wall)))
    #expect(exit.finding?.cause == .nodeFailure)
    // Nor does a cluster without such a list.
    var other = running()
    #expect(other.take(.nodes(.failure(.refused(status: 404, "x"))), at: now, wallClock: wall) == [])
    #expect(!other.reach.isAway && other.reach.failures == 0)
  }

  @Test func `a job that stays PENDING is told with what the cluster has, once`() throws {
    var machine = machine()
    launch(&machine)
    _ = machine.next(at: start, underWay: 0)
    _ = machine.take(.submitted(id: id, .success(())), at: start, wallClock: wall)
    var pending = job(.pending)
    pending.message = "Job has not started yet. It may be waiting for resources"
    #expect(machine.take(seen(pending), at: start + .seconds(1), wallClock: wall) == [])
    #expect(machine.next(at: start + .seconds(16), underWay: 0).calls.contains(.nodes(withStatus: true)))
    let nodes = [
      RayNode(id: "a", isAlive: true, resources: ["CPU": 2, "memory": 3_221_225_472, "node:10.0.0.1": 1]),
      RayNode(id: "b", isAlive: true, resources: ["CPU": 4, "GPU": 1, "object_store_memory": 9]),
      RayNode(id: "c", isAlive: false, resources: ["CPU": 64]),
    ]
    _ = machine.take(.nodes(.success(nodes)), at: start + .seconds(16), wallClock: wall)
    let text =
      "Ray says PENDING, and has 2 live nodes with 6 CPU, 1 GPU, 3 GiB of memory in all: Job has not started yet. It "
      + "may be waiting for resources"
    #expect(
      machine.take(seen(pending), at: start + .seconds(17), wallClock: wall)
        == [.taken(key, ExecutorHandle(node: "", reference: id, waitingFor: text))])
    #expect(machine.take(seen(pending), at: start + .seconds(18), wallClock: wall) == [])
    var running = job(.running)
    running.driverNodeID = "a"
    #expect(
      machine.take(seen(running), at: start + .seconds(19), wallClock: wall)
        == [.taken(key, ExecutorHandle(node: "a", reference: id)), .started(key)])
  }

  @Test func `what the cluster is used for is told with a wait, and told again only now and then`() async throws {
    var machine = machine { $0.pendingNews = .seconds(60) }
    launch(&machine)
    _ = machine.next(at: start, underWay: 0)
    _ = machine.take(.submitted(id: id, .success(())), at: start, wallClock: wall)
    var status = try await RayClient(try RecordedTransport("cluster_status")).status()
    func said(after seconds: Int) -> String? {
      let now = start + .seconds(seconds)
      let nodes = [RayNode(id: "a", isAlive: true, resources: ["CPU": 2])]
      _ = machine.take(.nodes(.success(nodes), status), at: now, wallClock: wall)
      guard case .taken(_, let handle)? = machine.take(seen(job(.pending)), at: now, wallClock: wall).first else {
        return nil
      }
      return handle.waitingFor
    }
    #expect(said(after: 1) == nil)
    #expect(said(after: 7)?.contains("2 CPU in all (0 of 2 CPU in use; unmet demand: 1 × 64 CPU): ") == true)
    status.usage["CPU"] = [1.5, 2]
    #expect(said(after: 20) == nil)
    #expect(said(after: 68)?.contains("1.5 of 2 CPU in use") == true)
  }

  @Test func `nobody's jobs are told after two lists, and other servers' never`() {
    var machine = machine()
    var foreign = job(.running, installation: "there")
    foreign.submissionID = "mend_a_b_t0-j0_7"
    var driver = job(.running)
    driver.type = "DRIVER"
    driver.submissionID = "mend_a_b_t0-j0_8"
    var plain = RayJob(submissionID: "raysubmit_1", status: .running)
    plain.type = "SUBMISSION"
    let jobs = [job(.running), foreign, driver, plain]
    #expect(machine.take(.listed(.success(jobs), took: .zero), at: start, wallClock: wall) == [])
    #expect(
      machine.take(.listed(.success(jobs), took: .zero), at: start, wallClock: wall) == [.duplicate(key, reference: id)]
    )
    machine.end(key, id: id, at: start, isStray: true)
    _ = machine.next(at: start, underWay: 0)
    #expect(machine.take(seen(job(.running)), at: start, wallClock: wall) == [])
    #expect(machine.next(at: start, underWay: 0).calls == [.stop(id: id)])
    #expect(machine.take(seen(job(.stopped)), at: start, wallClock: wall) == [])
    #expect(machine.entries.isEmpty)
  }

  @Test func `a second submission with an attempt's metadata is a duplicate, under whatever id, and ended by it`() {
    var machine = running()
    var second = job(.running)
    second.submissionID = "somebody's"
    var foreign = job(.running, installation: "there")
    foreign.submissionID = "another's"
    var nameless = job(.running)
    nameless.submissionID = "nameless"
    nameless.metadata["mend_attempt"] = "0"
    let jobs = [job(.running), second, foreign, nameless]
    let now = start + .seconds(2)
    #expect(machine.take(.listed(.success(jobs), took: .zero), at: now, wallClock: wall) == [])
    #expect(
      machine.take(.listed(.success(jobs), took: .zero), at: now, wallClock: wall)
        == [.duplicate(key, reference: "somebody's")])
    machine.end(key, id: "somebody's", at: now, isStray: true)
    #expect(machine.next(at: now, underWay: 0).calls.contains(.look(id: "somebody's", thoroughly: false)))
    // The look before the stop: what has become another server's meanwhile is left alone.
    var left = machine
    foreign.submissionID = "somebody's"
    let gone = RayAttempts.Answer.seen(id: "somebody's", .success(RayAttempts.Sight(job: foreign)))
    #expect(left.take(gone, at: now, wallClock: wall) == [])
    #expect(Set(left.entries.keys) == [id])
    let sight = RayAttempts.Answer.seen(id: "somebody's", .success(RayAttempts.Sight(job: second)))
    #expect(machine.take(sight, at: now, wallClock: wall) == [])
    #expect(machine.next(at: now, underWay: 0).calls.contains(.stop(id: "somebody's")))
    #expect(machine.entries[id]?.end == nil)
  }

  @Test func `adoption tells what Ray has, and what it has not is lost soon`() {
    var machine = machine()
    machine.adopt(key, id: id, fence: RayMetadata.mark(of: "token"), at: start)
    #expect(machine.next(at: start, underWay: 0).calls == [.look(id: id, thoroughly: false)])
    #expect(
      machine.take(seen(job(.running)), at: start, wallClock: wall)
        == [.taken(key, ExecutorHandle(node: "", reference: id)), .started(key)])
    var other = self.machine()
    other.adopt(key, id: id, fence: "", at: start)
    #expect(other.take(seen(nil), at: start, wallClock: wall) == [])
    let news = other.take(seen(nil), at: start + .milliseconds(500), wallClock: wall)
    #expect(loss(news) != nil)
  }
}
