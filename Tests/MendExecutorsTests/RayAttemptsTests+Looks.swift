import MendCore
import Testing

@testable import MendExecutors

// Which jobs are looked at, and when: by lists, and one by one.

extension RayAttemptsTests {
  /// So many attempts of one batch.
  private func keys(_ count: Int) -> [AttemptKey] {
    (0..<count).map { AttemptKey(batch: key.batch, job: JobID(tier: 0, index: $0), number: 1) }
  }

  /// The same, adopted.
  private func adopted(_ count: Int, by machine: inout RayAttempts) -> [AttemptKey] {
    let keys = keys(count)
    for key in keys { machine.adopt(key, id: RaySubmissionID.make(key), fence: "", at: start) }
    return keys
  }

  @Test func `many attempts are looked at by one list, and lists wait for what they cost`() {
    var machine = machine()
    let keys = keys(20)
    let jobs = keys.map { key in
      var job = RayJob(submissionID: RaySubmissionID.make(key), status: .running)
      job.metadata = RayMetadata.make(key, token: "token", installation: "here")
      return job
    }
    for key in keys { machine.launch(key, submission(key), fence: "", at: start) }
    var submitted = 0
    while submitted < keys.count {
      for call in machine.next(at: start, underWay: 0).calls {
        if call == .list { _ = machine.take(.listed(.success([]), took: .zero), at: start, wallClock: wall) }
        guard case .submit(let id, _) = call else { continue }
        _ = machine.take(.submitted(id: id, .success(())), at: start, wallClock: wall)
        submitted += 1
      }
    }
    let now = start + .seconds(5)
    let calls = machine.next(at: now, underWay: 0).calls
    #expect(calls.contains(.list))
    for call in calls {
      guard case .look(let id, _) = call else { continue }
      let job = jobs.first { $0.submissionID == id }
      _ = machine.take(.seen(id: id, .success(.init(job: job))), at: now, wallClock: wall)
    }
    _ = machine.take(.listed(.success(jobs), took: .milliseconds(400)), at: now, wallClock: wall)
    #expect(machine.entries.values.filter(\.isStarted).count == keys.count)
    #expect(!machine.next(at: now + .seconds(3), underWay: 0).calls.contains(.list))
    #expect(machine.next(at: now + .seconds(4), underWay: 0).calls == [.list])
  }

  @Test func `a list that was asked for before a job was submitted raises no doubt about it`() {
    var machine = machine()
    let keys = adopted(20, by: &machine)
    for key in keys { _ = machine.take(seen(job(of: key)), at: start, wallClock: wall) }
    var now = start + .seconds(2)
    #expect(machine.next(at: now, underWay: 0).calls == [.list])
    let late = AttemptKey(batch: key.batch, job: JobID(tier: 0, index: 99), number: 1)
    let id = RaySubmissionID.make(late)
    machine.launch(late, submission(late), fence: "", at: now)
    #expect(machine.next(at: now, underWay: 1).calls == [.submit(id: id, submission(late))])
    _ = machine.take(.submitted(id: id, .success(())), at: now, wallClock: wall)
    now += .seconds(1)
    _ = machine.take(.listed(.success(keys.map(job(of:))), took: .zero), at: now, wallClock: wall)
    #expect(machine.entries[id]?.isSettled == true)
    // The next one does.
    now += .seconds(1)
    #expect(machine.next(at: now, underWay: 0).calls == [.list])
    _ = machine.take(.listed(.success(keys.map(job(of:))), took: .zero), at: now, wallClock: wall)
    #expect(machine.entries[id]?.isSettled == false)
  }

  private func job(of key: AttemptKey) -> RayJob {
    var job = RayJob(submissionID: RaySubmissionID.make(key), status: .running)
    job.metadata = RayMetadata.make(key, token: "token", installation: "here")
    return job
  }

  private func seen(_ job: RayJob) -> RayAttempts.Answer {
    .seen(id: job.submissionID, .success(RayAttempts.Sight(job: job)))
  }

  @Test func `where a list takes long, jobs are looked at one by one, and none waits for the list`() {
    var machine = machine()
    let end = start + .seconds(30)
    let cluster = SlowCluster(
      jobs: adopted(12, by: &machine), end: end, look: .milliseconds(50), list: .seconds(6))
    let ended = cluster.drive(&machine, from: start, for: .seconds(60), step: .milliseconds(10), wallClock: wall)
    #expect(ended.count == 12)
    #expect(ended.values.allSatisfy { $0 < end + .seconds(4) })
  }

  /// A list each 6.6 seconds; of a thousand jobs it tells sooner than twenty looks a second would.
  @Test(arguments: [100, 1000])
  func `where a list takes a while, single looks come beside it if they are through before the next`(count: Int) {
    var machine = machine { $0.looksPerInterval = 20 }
    let (settled, end) = (start + .seconds(70), start + .seconds(130))
    let cluster = SlowCluster(
      jobs: adopted(count, by: &machine), end: end, look: .milliseconds(20), list: .milliseconds(600))
    var looked: [String: Int] = [:]
    var lists = 0
    let ended = cluster.drive(
      &machine, from: start, for: .seconds(160), step: .milliseconds(20), wallClock: wall
    ) { call, now in
      guard now >= settled, now < end else { return }
      if case .look(let id, _) = call { looked[id, default: 0] += 1 }
      if call == .list { lists += 1 }
    }
    #expect(ended.count == count)
    #expect(ended.values.allSatisfy { $0 < end + .seconds(8) })
    // Of a minute.
    #expect((8...10).contains(lists), "\(lists)")
    let looks = looked.values.reduce(0, +)
    if count > 100 {
      #expect(looks == 0)
    } else {
      #expect((800...1220).contains(looks), "\(looks)")
      // Each in turn.
      #expect(looked.count == count)
      #expect((looked.values.max() ?? 0) - (looked.values.min() ?? 0) <= 2)
    }
  }

  @Test func `slow answers leave no job waiting for good, and a stop comes first`() {
    var machine = machine { $0.looksPerInterval = 20 }
    let keys = adopted(100, by: &machine)
    machine.lists.isUnusable = true
    var looks: [String: Int] = [:]
    var stoppedAt: RayAttempts.Moment?
    let asked = start + .seconds(60)
    // Each look takes two seconds, so eight at once are four a second: a round of all takes 25 s.
    var now = start
    while now < start + .seconds(120) {
      if now == asked { machine.end(keys[99], id: RaySubmissionID.make(keys[99]), at: now) }
      let calls = machine.next(at: now, underWay: 0).calls
      now += .seconds(2)
      for call in calls {
        switch call {
        case .look(let id, _):
          looks[id, default: 0] += 1
          let job = RayJob(ours: id, .running)
          _ = machine.take(.seen(id: id, .success(.init(job: job))), at: now, wallClock: wall)
        case .stop(let id):
          stoppedAt = stoppedAt ?? now
          _ = machine.take(.stopped(id: id, .success(true)), at: now, wallClock: wall)
        case .list: _ = machine.take(.listed(.failure(.unknown("too long")), took: .zero), at: now, wallClock: wall)
        default: break
        }
      }
    }
    #expect(looks.count == keys.count)
    #expect(looks.values.max()! - looks.values.min()! <= 3, "\(looks.values.sorted())")
    #expect(stoppedAt.map { $0 <= asked + .seconds(4) } == true)
  }

  @Test func `a thousand jobs cost a list now and then, and few calls beside it`() {
    var machine = machine()
    let keys = keys(1000)
    let jobs = keys.map { key in
      var job = RayJob(submissionID: RaySubmissionID.make(key), status: .running)
      job.metadata = RayMetadata.make(key, token: "token", installation: "here")
      return job
    }
    let byID = Dictionary(uniqueKeysWithValues: jobs.map { ($0.submissionID, $0) })
    for key in keys { machine.launch(key, submission(key), fence: "", at: start) }
    var now = start
    var calls = (submits: 0, looks: 0, lists: 0, nodes: 0, others: 0)
    /// Each call takes 20 ms, a list 400 ms, as long as a head needs for that many.
    func run(until end: RayAttempts.Moment) {
      while now < end {
        let (asked, wakeAt) = machine.next(at: now, underWay: 0)
        #expect(asked.count <= machine.settings.callsAtOnce)
        for call in asked {
          switch call {
          case .submit(let id, _):
            calls.submits += 1
            _ = machine.take(.submitted(id: id, .success(())), at: now, wallClock: wall)
          case .look(let id, _):
            calls.looks += 1
            _ = machine.take(.seen(id: id, .success(.init(job: byID[id]))), at: now, wallClock: wall)
          case .list:
            calls.lists += 1
            _ = machine.take(.listed(.success(jobs), took: .milliseconds(400)), at: now, wallClock: wall)
          case .nodes:
            calls.nodes += 1
            _ = machine.take(.nodes(.success([])), at: now, wallClock: wall)
          case .stop, .delete, .version, .examine: calls.others += 1
          }
        }
        now = asked.isEmpty ? wakeAt : now + .milliseconds(20)
      }
    }
    run(until: start + .seconds(60))
    #expect(calls.submits == 1000)
    #expect(machine.entries.values.filter(\.isStarted).count == 1000)
    calls = (0, 0, 0, 0, 0)
    run(until: start + .seconds(120))
    #expect(calls.submits == 0)
    #expect((1...20).contains(calls.lists))
    #expect(calls.looks <= 60, "\(calls)")
    #expect(calls.nodes + calls.others <= 10)
  }

  @Test func `where no list is to be had many jobs are looked at one by one, more slowly`() {
    var machine = machine { $0.looksPerInterval = 20 }
    _ = adopted(400, by: &machine)
    var now = start
    var looks = 0
    while now < start + .seconds(60) {
      let (asked, wakeAt) = machine.next(at: now, underWay: 0)
      for call in asked {
        switch call {
        case .look(let id, _):
          looks += 1
          let job = RayJob(ours: id, .running)
          _ = machine.take(.seen(id: id, .success(.init(job: job))), at: now, wallClock: wall)
        case .list:
          _ = machine.take(.listed(.failure(.unknown("too long")), took: .seconds(1)), at: now, wallClock: wall)
        default: break
        }
      }
      now = asked.isEmpty ? wakeAt : now + .milliseconds(20)
    }
    // All of them at first, then 20 a second.
    #expect((400...400 + 21 * 60).contains(looks), "\(looks)")
  }
}

extension RayJob {
  /// A job that this server submitted.
  fileprivate init(ours id: String, _ status: Status) {
    self.init(submissionID: id, status: status)
    metadata[RayMetadata.installation] = "here"
  }
}

/// A cluster whose answers take their time, and whose jobs all end at one moment.
private struct SlowCluster {
  var jobs: [AttemptKey]
  var end: RayAttempts.Moment
  /// How long the answer about one job takes, and a list of all.
  var look: Duration
  var list: Duration

  /// Answers what the machine asks, until all have ended or the time has passed; returns when each end was told.
  func drive(
    _ machine: inout RayAttempts, from start: RayAttempts.Moment, for time: Duration, step: Duration,
    wallClock: Instant, asked: (RayAttempts.Call, RayAttempts.Moment) -> Void = { _, _ in }
  ) -> [AttemptKey: RayAttempts.Moment] {
    var ended: [AttemptKey: RayAttempts.Moment] = [:]
    var answers: [(at: RayAttempts.Moment, RayAttempts.Answer)] = []
    var now = start
    while now < start + time, ended.count < jobs.count {
      for call in machine.next(at: now, underWay: answers.count).calls {
        asked(call, now)
        // What Ray had when it was asked.
        let status = now >= end ? RayJob.Status.succeeded : .running
        switch call {
        case .look(let id, _):
          answers.append((now + look, .seen(id: id, .success(.init(job: RayJob(ours: id, status))))))
        case .list:
          let all = jobs.map { RayJob(ours: RaySubmissionID.make($0), status) }
          answers.append((now + list, .listed(.success(all), took: list)))
        default: break
        }
      }
      now += step
      for answer in answers where answer.at <= now {
        for case .ended(let key, _, _) in machine.take(answer.1, at: now, wallClock: wallClock) { ended[key] = now }
      }
      answers.removeAll { $0.at <= now }
    }
    return ended
  }
}
