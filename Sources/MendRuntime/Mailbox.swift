import Dispatch
import Foundation
import MendCore
import Synchronization

/// The events that wait for the writer, and the callers that wait for its answers.
///
/// Events keep the order of their arrival, whoever sent them. Calls are bounded and refused beyond the bound, those of
/// callers and those of workers apart, so that no flood of the one keeps the others out; observations are never lost, and
/// beyond their reserve what was said already is not queued again; ticks are one at most. Nobody who sends is blocked.
final class Mailbox: Sendable {
  typealias Answer = Result<Reply, Refusal>

  /// A caller that waits for an answer.
  enum Caller: Sendable {
    case task(CheckedContinuation<Answer, Never>)
    /// For a caller that drives the writer itself and cannot wait for it.
    case function(@Sendable (Answer) -> Void)

    func resume(returning answer: Answer) {
      switch self {
      case .task(let continuation): continuation.resume(returning: answer)
      case .function(let function): function(answer)
      }
    }
  }

  fileprivate enum Phase: Sendable {
    case open
    /// No more calls are accepted; the mailbox ends when the writer has taken everything.
    case closing
    case closed(Refusal)
  }

  fileprivate struct State {
    var phase = Phase.open
    var events: [Event] = []
    var queuedCommands = 0
    var queuedReports = 0
    var queuedObservations = 0
    /// The latest observation of each subject, while there are more observations than their reserve.
    var latest: [Subject: Event] = [:]
    var isTickQueued = false
    var lastCall: UInt64 = 0
    var answers: [CallID: Caller] = [:]
    var callsRefused: UInt64 = 0
    var answersUnclaimed: UInt64 = 0
    /// The writer waits on its semaphore; who adds an event clears this and signals, once.
    var writerSleeps = false

    mutating func wakesWriter() -> Bool {
      defer { writerSleeps = false }
      return writerSleeps
    }
  }

  private let settings: RuntimeSettings
  private let state = Mutex(State())
  private let writerWakes = DispatchSemaphore(value: 0)

  init(settings: RuntimeSettings) { self.settings = settings }

  /// Not ABORTED, which a worker takes for being fenced.
  static let stopping = Refusal.unavailable(
    "the server is stopping; whether this was carried out is unknown; repeat it with the same idempotency_key when the "
      + "server is back")

  // MARK: - Senders

  /// Hands an event to the writer and waits for its answer.
  ///
  /// Cancelling gives up the answer, not the event: what it asked for may be done all the same.
  func call(_ event: (CallID) -> Event) async -> Answer {
    let call = state.withLock { state in
      state.lastCall += 1
      return CallID(state.lastCall)
    }
    let event = event(call)
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let refusal = state.withLock { enqueue(event, call, .task(continuation), in: &$0) }
        switch refusal {
        case .failure(let refusal): continuation.resume(returning: .failure(refusal))
        case .success(let wakes):
          if wakes { writerWakes.signal() }
          // Cancelled before it was there to be found by the handler.
          if Task.isCancelled { abandon(call) }
        }
      }
    } onCancel: {
      abandon(call)
    }
  }

  /// The same without a task: `answer` is called on the writer's thread, or at once if the call is refused.
  func call(_ event: (CallID) -> Event, answer: @escaping @Sendable (Answer) -> Void) {
    let refusal = state.withLock { state in
      state.lastCall += 1
      let call = CallID(state.lastCall)
      return enqueue(event(call), call, .function(answer), in: &state)
    }
    switch refusal {
    case .failure(let refusal): answer(.failure(refusal))
    case .success(let wakes): if wakes { writerWakes.signal() }
    }
  }

  private func enqueue(
    _ event: Event, _ call: CallID, _ caller: Caller, in state: inout State
  ) -> Result<Bool, Refusal> {
    switch state.phase {
    case .open: break
    case .closing: return .failure(Self.stopping)
    case .closed(let refusal): return .failure(refusal)
    }
    let isWorkers = if case .worker = event { true } else { false }
    let (queued, limit) =
      isWorkers ? (state.queuedReports, settings.workerMailboxLimit) : (state.queuedCommands, settings.mailboxLimit)
    if queued >= limit {
      state.callsRefused += 1
      return .failure(
        .exhausted(limit: .mailbox, "\(limit) calls already wait for the scheduler", retryAfter: .seconds(1)))
    }
    if state.answers.count >= settings.unansweredCallsLimit + (isWorkers ? settings.workerMailboxLimit : 0) {
      state.callsRefused += 1
      return .failure(
        .exhausted(
          limit: .unansweredCalls, "\(settings.unansweredCallsLimit) calls already wait for their answers",
          retryAfter: .seconds(1)))
    }
    state.events.append(event)
    if isWorkers { state.queuedReports += 1 } else { state.queuedCommands += 1 }
    state.answers[call] = caller
    return .success(state.wakesWriter())
  }

  private func abandon(_ call: CallID) {
    let continuation = state.withLock { $0.answers.removeValue(forKey: call) }
    continuation?.resume(
      returning: .failure(
        .aborted(
          "the caller gave up before the answer; the command may still be carried out",
          todo: "repeat it with the same idempotency_key to learn the answer")))
  }

  /// Never blocks: who posts may be on an event loop, or on one of the few threads of the cooperative pool. What waits is
  /// bounded by what there is to say: beyond `observationReserve` the same said again of the same attempt is one. After the
  /// writer's end it does nothing: recovery asks the executor again.
  func post(_ observation: Observation) { post(.observation(observation)) }

  /// Posts what became of a notification, as an observation.
  func post(_ outcome: NotificationOutcome, of batch: BatchKey) { post(.notified(batch, outcome)) }

  private func post(_ event: Event) {
    let wakes = state.withLock { state in
      if case .closed = state.phase { return false }
      if state.queuedObservations >= settings.observationReserve, let subject = event.subject {
        // It is looked again, and only the last look counts.
        if case .observation(.looked) = event { return false }
        guard state.latest.updateValue(event, forKey: subject) != event else { return false }
      }
      state.events.append(event)
      state.queuedObservations += 1
      return state.wakesWriter()
    }
    if wakes { writerWakes.signal() }
  }

  func tick() {
    let wakes = state.withLock { state in
      if case .closed = state.phase { return false }
      guard !state.isTickQueued else { return false }
      state.isTickQueued = true
      state.events.append(.tick)
      return state.wakesWriter()
    }
    if wakes { writerWakes.signal() }
  }

  /// Accepts no more calls. The writer takes what is there, and ends.
  func close() {
    let wakes = state.withLock { state in
      if case .open = state.phase { state.phase = .closing }
      return state.wakesWriter()
    }
    if wakes { writerWakes.signal() }
  }

  // MARK: - The writer

  /// The events of the next round, at most `eventsPerRound`, in order; waits for the first one. Nil when the mailbox
  /// was closed and is empty.
  func next() -> [Event]? {
    while true {
      let (events, ended) = state.withLock { state -> ([Event], Bool) in
        if state.events.isEmpty {
          guard case .open = state.phase else { return ([], true) }
          state.writerSleeps = true
          return ([], false)
        }
        return (state.take(settings.eventsPerRound), false)
      }
      if ended { return nil }
      if !events.isEmpty { return events }
      writerWakes.wait()
    }
  }

  /// The events of the next round without waiting; empty if there are none.
  func takeNow() -> [Event] { state.withLock { $0.take(settings.eventsPerRound) } }

  /// Resumes callers in order, and counts those that no longer wait.
  func answer(_ answers: [(CallID, Answer)]) {
    guard !answers.isEmpty else { return }
    let waiting = state.withLock { state in
      answers.map { call, _ in
        let continuation = state.answers.removeValue(forKey: call)
        if continuation == nil { state.answersUnclaimed += 1 }
        return continuation
      }
    }
    for (continuation, answer) in zip(waiting, answers) { continuation?.resume(returning: answer.1) }
  }

  /// Refuses all calls that were taken and not answered yet. Calls that still wait for the writer stay.
  func refuseTaken(_ refusal: Refusal) {
    let taken = state.withLock { state in
      var queued: Set<CallID> = []
      for event in state.events { if let call = event.call { queued.insert(call) } }
      let taken = state.answers.filter { !queued.contains($0.key) }
      for call in taken.keys { state.answers[call] = nil }
      return Array(taken.values)
    }
    for continuation in taken { continuation.resume(returning: .failure(refusal)) }
  }

  /// Tells all callers that still wait, and later ones, that the writer has ended.
  func end(_ refusal: Refusal) {
    let answers = state.withLock { state in
      defer {
        state.phase = .closed(refusal)
        state.events = []
        state.answers = [:]
      }
      return Array(state.answers.values)
    }
    for continuation in answers { continuation.resume(returning: .failure(refusal)) }
  }

  var isOpen: Bool { state.withLock { if case .open = $0.phase { true } else { false } } }

  func report(in statistics: inout RuntimeStatistics) {
    state.withLock { state in
      statistics.mailboxDepth = state.events.count
      statistics.unansweredCalls = state.answers.count
      statistics.callsRefused = state.callsRefused
      statistics.answersUnclaimed = state.answersUnclaimed
    }
  }
}

extension Mailbox.State {
  fileprivate mutating func take(_ limit: Int) -> [Event] {
    var taken: [Event] = []
    if events.count <= limit {
      swap(&taken, &events)
      queuedCommands = 0
      queuedReports = 0
      queuedObservations = 0
      isTickQueued = false
    } else {
      taken = Array(events.prefix(limit))
      events.removeFirst(limit)
      for event in taken {
        switch event {
        case .command: queuedCommands -= 1
        case .worker: queuedReports -= 1
        case .observation, .notified: queuedObservations -= 1
        case .tick: isTickQueued = false
        case .recovered, .resumed: break
        }
      }
    }
    if queuedObservations == 0 { latest = [:] }
    return taken
  }
}

extension Event {
  /// The call that waits for the event's answer.
  var call: CallID? {
    switch self {
    case .command(let call, _), .worker(let call, _): call
    case .observation, .notified, .tick, .recovered, .resumed: nil
    }
  }

  /// What an observation is about; only the latest observation of a subject counts.
  fileprivate var subject: Subject? {
    switch self {
    case .observation(let observation):
      switch observation {
      case .taken(let attempt, _), .delayed(let attempt, _), .started(let attempt), .launchFailed(let attempt, _, _),
        .ended(let attempt, _, _), .lost(let attempt, _), .hidden(let attempt, _), .looked(let attempt, _):
        .attempt(attempt)
      case .unreachable(let kind, _), .reachable(let kind): .executor(kind)
      case .capacity(let capacity): .capacity(capacity.executor)
      case .duplicate(_, let reference): .launch(reference)
      }
    case .notified(_, let outcome): .notification(outcome.eventID)
    case .command, .worker, .tick, .recovered, .resumed: nil
    }
  }
}

private enum Subject: Hashable, Sendable {
  case attempt(AttemptKey)
  case executor(ExecutorKind)
  case capacity(ExecutorKind)
  case launch(String)
  case notification(String)
}
