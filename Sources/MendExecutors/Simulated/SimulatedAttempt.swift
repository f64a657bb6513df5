internal import MendCore

/// One simulated attempt, its supervisor and its worker in one: a pure step from what happened to what is done. Time is
/// an argument, so the same behaviour over the same answers goes the same way.
struct SimulatedAttempt {
  enum Action: Hashable {
    case observe(Observation)
    /// At most one is unanswered at a time.
    case say(WorkerRequest.Operation)
  }

  let key: AttemptKey
  let launch: Launch
  let behaviour: SimulatedBehaviour
  let handle: ExecutorHandle

  enum Phase: Hashable {
    /// `nil`: it never starts.
    case starting(Instant?)
    case working
    /// With beats or without.
    case stalled(beats: Bool)
    case ending(Instant, how: String, signal: Int32)
    case over
  }

  var phase = Phase.starting(nil)
  /// When `wake` is due; `distantFuture` where it waits for an answer, or for nothing.
  var wakeAt = Instant.distantFuture
  /// What its supervisor writes down; the last word on it, said again to who asks again.
  var lastWord: Observation?

  // The worker.
  /// What an opaque one has to do; the others claim.
  var manifest: [Document]
  var said: WorkerRequest.Operation?
  var hasStarted = false
  /// The server knows that its worker runs.
  var isAnnounced = false
  var inHand: [Document] = []
  var portion: Portion?
  var results: WorkerRequest.Report?
  /// To be said a second time, with the next results.
  var repeats: [String] = []
  /// Done by this attempt, well or not.
  var handled = 0
  var isFinished = false
  /// Claims that were answered; the next one has this number, and keeps it until its answer comes.
  var answeredClaims = 0
  var heartbeat: Duration = .seconds(20)
  var lastSaidAt: Instant
  var notBefore: Instant

  /// Documents that are worked on, and reported, together.
  struct Portion: Hashable {
    var documents: Int
    var until: Instant
    var endsInFault: Bool
  }

  init(_ key: AttemptKey, _ launch: Launch, _ behaviour: SimulatedBehaviour, documents: [Document], at now: Instant) {
    self.key = key
    self.launch = launch
    self.behaviour = behaviour
    manifest = behaviour.isOpaque ? documents : []
    handle = ExecutorHandle(node: "simulated", reference: "simulated:\(key)")
    lastSaidAt = now
    notBefore = now
  }

  // MARK: What happens to it

  mutating func begin(at now: Instant) -> [Action] {
    var actions: [Action] = behaviour.losesAnswer ? [] : [.observe(.taken(key, handle))]
    if launching == .neverStarts { return actions }
    let start = now + behaviour.time(behaviour.start, "\(key)")
    phase = .starting(start)
    wakeAt = start
    if start <= now { actions += wake(at: now) }
    return actions
  }

  mutating func wake(at now: Instant) -> [Action] {
    var actions: [Action] = []
    goOn(now, &actions)
    wakeAt = nextWake
    return actions
  }

  mutating func answered(_ answer: Result<Reply, Refusal>, at now: Instant) -> [Action] {
    guard let said else { return [] }
    self.said = nil
    if phase == .over { return [] }
    var actions: [Action] = []
    switch answer {
    case .success(let reply): take(reply, to: said, now)
    case .failure(let refusal): take(refusal, to: said, now, &actions)
    }
    goOn(now, &actions)
    wakeAt = nextWake
    return actions
  }

  /// SIGTERM, and SIGKILL after the grace. A repeated one with less grace hastens it.
  mutating func end(grace: Duration, at now: Instant) -> [Action] {
    if let lastWord { return [.observe(lastWord)] }
    let time = behaviour.time(behaviour.end, "\(key)")
    let isKilled = behaviour.ignoresTerm || time > grace
    let how = isKilled ? "SIGKILL after \(Figures.seconds(grace))" : "SIGTERM"
    let end = Phase.ending(now + (isKilled ? grace : time), how: how, signal: isKilled ? 9 : 15)
    if case .ending(let at, _, _) = phase, at <= now + (isKilled ? grace : time) {
      // It ends by then anyway.
    } else {
      phase = end
    }
    return wake(at: now)
  }

  /// For a launch or an adoption that comes again: what is known of it.
  mutating func announce() -> [Action] {
    if let lastWord { return [.observe(lastWord)] }
    var actions = [Action.observe(.taken(key, handle))]
    if hasStarted { actions.append(.observe(.started(key))) }
    return actions
  }

  /// It is gone with its machine, and nothing is said: whoever asks finds its last word.
  mutating func vanish(_ termination: ExitRecord.Termination, at now: Instant) {
    var nobody: [Action] = []
    over(termination, now, &nobody)
    said = nil
    wakeAt = .distantFuture
  }

  // MARK: Its course

  private mutating func goOn(_ now: Instant, _ actions: inout [Action]) {
    if case .starting(let start?) = phase, start <= now {
      phase = .working
      hasStarted = true
      if !behaviour.losesAnswer { actions.append(.observe(.started(key))) }
    }
    if case .ending(let at, let how, let signal) = phase, at <= now {
      over(.signalled(signal), receipt: EndReceipt(processes: 1, how: how), now, &actions)
    }
    if phase == .stalled(beats: true), said == nil, now >= lastSaidAt + heartbeat {
      say(.report(WorkerRequest.Report()), now, &actions)
    }
    while phase == .working, said == nil, work(now, &actions) {}
  }

  /// The next thing that can be done now; false where it has to wait.
  private mutating func work(_ now: Instant, _ actions: inout [Action]) -> Bool {
    if behaviour.isOpaque && portion == nil && !isFinished {
      inHand = manifest
      isFinished = true
    }
    if let report = results {
      guard now >= notBefore else { return false }
      say(.report(report), now, &actions)
      return true
    }
    if let portion {
      if portion.until <= now {
        finish(portion, now, &actions)
        return true
      }
      if !behaviour.isOpaque, now >= lastSaidAt + heartbeat { say(.report(WorkerRequest.Report()), now, &actions) }
      return false
    }
    if !inHand.isEmpty {
      beginPortion(now)
      return true
    }
    if isFinished && (isAnnounced || behaviour.isOpaque) {
      leave(now, &actions)
      return true
    }
    guard now >= notBefore else { return false }
    if !isAnnounced {
      say(.start, now, &actions)
      return true
    }
    say(.claim(maximum: behaviour.claim, id: "\(answeredClaims)"), now, &actions)
    return true
  }

  private mutating func beginPortion(_ now: Instant) {
    let each = behaviour.time(behaviour.document, inHand[0].id)
    // About five reports a second, however quick the documents are.
    let share = each > .zero ? max(1, Int(min(Duration.milliseconds(200) / each, 1e6))) : inHand.count
    var count = min(share, inHand.count)
    var endsInFault = false
    if hasFault, !behaviour.faultDocument.isEmpty {
      if let place = inHand.prefix(count).firstIndex(where: { $0.id == behaviour.faultDocument }) {
        endsInFault = place == 0
        count = max(1, place)
      }
    } else if hasFault, behaviour.faultAt > handled {
      if behaviour.faultAt == handled + 1 {
        count = 1
        endsInFault = true
      } else {
        count = min(count, behaviour.faultAt - handled - 1)
      }
    }
    portion = Portion(documents: count, until: now + each * count, endsInFault: endsInFault)
  }

  /// As `times` allows it.
  var launching: SimulatedBehaviour.Launching {
    key.number <= behaviour.faultAttempts ? behaviour.launching : .works
  }

  var hasFault: Bool {
    guard let fault = behaviour.fault, key.number <= behaviour.faultAttempts else { return false }
    // With room enough nothing happens.
    let limit = launch.parameters.resources.memoryBytes
    return !(fault == .oom && behaviour.memoryBytes > 0 && limit >= behaviour.memoryBytes)
  }

  private mutating func finish(_ portion: Portion, _ now: Instant, _ actions: inout [Action]) {
    self.portion = nil
    if portion.endsInFault { return fault(now, &actions) }
    var report = WorkerRequest.Report(completed: repeats)
    repeats = []
    for document in inHand.prefix(portion.documents) {
      if behaviour.fails(document.id) {
        report.failed.append(
          WorkerRequest.Failure(
            documentID: document.id, code: behaviour.failCode, message: "simulated: \(behaviour.failCode)"))
      } else {
        report.completed.append(document.id)
        if behaviour.repeats(document.id) { repeats.append(document.id) }
      }
    }
    handled += portion.documents
    inHand.removeFirst(portion.documents)
    if !behaviour.isOpaque { results = report }
  }

  /// Everything is done.
  private mutating func leave(_ now: Instant, _ actions: inout [Action]) {
    if hasFault, behaviour.faultAt == 0, behaviour.faultDocument.isEmpty { return fault(now, &actions) }
    over(.exited(0), now, &actions)
  }

  private mutating func fault(_ now: Instant, _ actions: inout [Action]) {
    switch behaviour.fault {
    case .exit(let code): over(.exited(code), line: code == 0 ? "" : "simulated: exit \(code)", now, &actions)
    case .signal(let number): over(.signalled(number), now, &actions)
    case .oom: over(.signalled(9), isOutOfMemory: true, now, &actions)
    case .preemption:
      let finding = ExitRecord.Finding(
        cause: .preemption, confidence: .medium, text: "simulated: who owns the machine took it away")
      over(.signalled(15), finding: finding, now, &actions)
    case .hang: phase = .stalled(beats: true)
    case .silence: phase = .stalled(beats: false)
    case .lostSupervisor:
      over(.unknown("simulated: the supervisor was killed; nobody saw how it ended"), now, &actions)
    case .vanish:
      phase = .over
      manifest = []
      lastWord = .lost(key, message: "simulated: the executor does not know it any more")
      actions += [lastWord].compactMap { $0.map(Action.observe) }
      sayLate(now, &actions)
    case nil: over(.exited(0), now, &actions)
    }
  }

  mutating func over(
    _ termination: ExitRecord.Termination, receipt: EndReceipt? = nil, isOutOfMemory: Bool = false,
    finding: ExitRecord.Finding? = nil, line: String = "", _ now: Instant, _ actions: inout [Action]
  ) {
    phase = .over
    manifest = []
    let limit = launch.parameters.resources.memoryBytes
    var exit = ExitRecord(termination: termination, at: now, peakMemoryBytes: behaviour.memoryBytes, finding: finding)
    exit.memoryLimitBytes = limit
    if isOutOfMemory {
      exit.peakMemoryBytes = max(behaviour.memoryBytes, limit + limit / 4)
      exit.memoryLimitExceeded = limit > 0
      if limit == 0 {
        exit.finding = ExitRecord.Finding(
          cause: .oom, confidence: .medium, text: "simulated: the machine ran out of memory, and it had no limit")
      }
    }
    exit.lastStderrLine = line
    let word = Observation.ended(key, exit, receipt)
    lastWord = word
    actions.append(.observe(word))
    sayLate(now, &actions)
  }

  /// Results that come after the end are to be refused.
  private mutating func sayLate(_ now: Instant, _ actions: inout [Action]) {
    guard behaviour.reportsLate, !inHand.isEmpty, said == nil else { return }
    say(.report(WorkerRequest.Report(completed: inHand.map(\.id))), now, &actions)
  }

  private mutating func say(_ operation: WorkerRequest.Operation, _ now: Instant, _ actions: inout [Action]) {
    said = operation
    lastSaidAt = now
    actions.append(.say(operation))
  }

  private var nextWake: Instant {
    switch phase {
    case .starting(let start): return start ?? .distantFuture
    case .ending(let at, _, _): return at
    case .over: return .distantFuture
    case .stalled(let beats): return beats && said == nil ? lastSaidAt + heartbeat : .distantFuture
    case .working:
      if said != nil { return .distantFuture }
      if results == nil, let portion {
        return behaviour.isOpaque ? portion.until : min(portion.until, lastSaidAt + heartbeat)
      }
      return notBefore
    }
  }
}
