import Glibc
import MendAPI
import Testing

@testable import mend

@Suite("The worker's decisions")
struct WorkerStateTests {
  private let limits = WorkerState.Limits(slots: 2, heartbeatSeconds: 20)

  private func documents(_ ids: String...) -> [Document] {
    ids.map { id in
      var document = Document()
      document.documentID = id
      return document
    }
  }

  private let quick = CommandResult(termination: .exited(0), lastErrorLine: "", seconds: 0.01)

  @Test("One document a slot is claimed at first, run, reported, and the end follows the server's word")
  func wholeLife() {
    var state = WorkerState(limits: limits, at: 0)
    #expect(state.step(.tick, at: 0).texts == ["claim 2"])
    let two = documents("a", "b")
    #expect(
      state.step(.claimed(two, finished: false, retryAfter: 0), at: 0.1).texts == ["run a", "run b"])
    #expect(state.step(.ended(two[0], quick), at: 0.2).texts == ["claim 1", "report a"])
    #expect(state.step(.claimed([], finished: false, retryAfter: 0.2), at: 0.21).texts == [])
    #expect(state.step(.ended(two[1], quick), at: 0.3).texts == [])
    #expect(state.step(.reported(stop: false), at: 0.31).texts == ["claim 2", "report b"])
    #expect(state.step(.claimed([], finished: true, retryAfter: 0), at: 0.32).texts == [])
    #expect(state.step(.reported(stop: false), at: 0.33).texts == ["finish done"])
  }

  @Test("More is claimed ahead only as documents go well, and little")
  func ahead() {
    var limits = limits
    limits.documentsPerAhead = 16
    var state = WorkerState(limits: limits, at: 0)
    _ = state.step(.tick, at: 0)
    var running = documents("a0", "b0")
    _ = state.step(.claimed(running, finished: false, retryAfter: 0), at: 0)
    var claims: [String] = []
    for number in 1...100 {
      let now = Double(number) * 0.01
      let actions = state.step(.ended(running.removeFirst(), quick), at: now).texts
      claims += actions.filter { $0.hasPrefix("claim") }
      if actions.contains(where: { $0.hasPrefix("claim") }) {
        let more = documents("c\(number)")
        running += more
        _ = state.step(.claimed(more, finished: false, retryAfter: 0), at: now)
      }
      if actions.contains(where: { $0.hasPrefix("report") }) {
        _ = state.step(.reported(stop: false), at: now)
      }
      if running.isEmpty { break }
    }
    #expect(claims.first == "claim 1")
    #expect(claims.contains("claim 2"))
    #expect(!claims.contains { ($0.split(separator: " ").last.flatMap { Int($0) } ?? 0) > 6 })
  }

  @Test("Results wait for a server that is away, with growing waits, while claimed documents go on")
  func serverAway() {
    var state = WorkerState(limits: limits, at: 0)
    _ = state.step(.tick, at: 0)
    let two = documents("a", "b")
    _ = state.step(.claimed(two, finished: false, retryAfter: 0), at: 0)
    let away = WorkerState.WorkerFault.away(isUncertain: false, retryAfter: 0)
    _ = state.step(.ended(two[0], quick), at: 1)
    _ = state.step(.claimFailed(away), at: 1)
    var now = 1.0
    var waits: [Double] = []
    _ = state.step(.reportFailed(away), at: now)
    for _ in 0..<8 {
      let due = state.nextTick(at: now)
      waits.append(due - now)
      now = due
      let actions = state.step(.tick, at: now).texts
      if actions.contains("report a") { _ = state.step(.reportFailed(away), at: now) }
      if actions.contains(where: { $0.hasPrefix("claim") }) { _ = state.step(.claimFailed(away), at: now) }
    }
    #expect(waits.allSatisfy { $0 >= 0 && $0 <= 2 })
    #expect(state.step(.ended(two[1], quick), at: now).texts.allSatisfy { !$0.hasPrefix("finish") })
  }

  @Test("A claim whose answer was lost is made again under its number, and then the next one")
  func lostClaim() {
    var state = WorkerState(limits: limits, at: 0)
    _ = state.step(.tick, at: 0)
    let one = documents("a")
    _ = state.step(.claimed(one, finished: false, retryAfter: 0), at: 0)
    _ = state.step(.claimFailed(.away(isUncertain: true, retryAfter: 0)), at: 0.1)
    let due = state.nextTick(at: 0.1)
    #expect(state.step(.tick, at: due).claimNumbers == [1])
    let away = WorkerState.WorkerFault.away(isUncertain: false, retryAfter: 0)
    #expect(state.step(.claimFailed(away), at: due).texts == [])
    let again = state.nextTick(at: due)
    #expect(state.step(.tick, at: again).claimNumbers == [1])
    let lost = documents("b")
    #expect(state.step(.claimed(lost, finished: false, retryAfter: 0), at: again).texts == ["run b"])
    #expect(state.step(.ended(lost[0], quick), at: again).claimNumbers == [2])
  }

  @Test("A fenced attempt ends its commands, by force after the grace, and then itself")
  func fenced() {
    var state = WorkerState(limits: limits, at: 0)
    _ = state.step(.tick, at: 0)
    let one = documents("a")
    _ = state.step(.claimed(one, finished: true, retryAfter: 0), at: 0)
    #expect(state.step(.reportFailed(.fenced("over")), at: 1).texts == ["signal 15"])
    #expect(state.step(.tick, at: 2).texts == [])
    #expect(state.nextTick(at: 2) == 3)
    #expect(state.step(.tick, at: 3).texts == ["signal 9"])
    let killed = CommandResult(termination: .signalled(9), lastErrorLine: "", seconds: 3)
    #expect(state.step(.ended(one[0], killed), at: 3.1).texts == ["finish fenced over"])
    #expect(state.step(.tick, at: 4).texts == [])
  }

  @Test("A worker that is told to end leaves it to its supervisor how long commands may take")
  func terminated() {
    for event in [WorkerState.Event.terminated, .reported(stop: true)] {
      var state = WorkerState(limits: limits, at: 0)
      _ = state.step(.tick, at: 0)
      let one = documents("a")
      _ = state.step(.claimed(one, finished: false, retryAfter: 5), at: 0)
      #expect(state.step(event, at: 1).texts == ["signal 15"])
      #expect(state.nextTick(at: 1) == .infinity)
      #expect(state.step(.tick, at: 3000).texts == [])
    }
  }

  @Test("Silence is broken by a beat that looks like no progress")
  func beat() {
    var state = WorkerState(limits: limits, at: 0)
    _ = state.step(.tick, at: 0)
    _ = state.step(.claimed(documents("a", "b"), finished: true, retryAfter: 0), at: 0)
    #expect(state.nextTick(at: 0) == 20)
    let actions = state.step(.tick, at: 20)
    #expect(actions.texts == ["report "])
    if case .report(let request)? = actions.first { #expect(request.stageTimings.isEmpty) }
  }

  @Test("Exits, signals and a missing program have their codes")
  func codes() {
    func code(_ termination: CommandResult.Termination, _ line: String = "") -> [String]? {
      WorkerState.failure("d", CommandResult(termination: termination, lastErrorLine: line, seconds: 0))
        .map { [$0.code, $0.message] + $0.details.map { "\($0.key)=\($0.value)" } }
    }
    #expect(code(.exited(0)) == nil)
    #expect(code(.exited(7), "bad thing") == ["exit_code", "bad thing", "exit_code=7"])
    #expect(code(.exited(7)) == ["exit_code", "exit code 7", "exit_code=7"])
    #expect(code(.exited(127), "sh: 1: x: not found")?.first == "entrypoint_not_found")
    #expect(code(.signalled(9)) == ["signal", "ended by signal 9", "signal=9"])
    var unread = CommandResult(termination: .exited(1), lastErrorLine: "cat: x: gone", seconds: 0, inputFailure: ENOENT)
    #expect(WorkerState.failure("d", unread)?.code == "file_not_found")
    #expect(WorkerState.failure("d", unread)?.message == "cat: x: gone")
    unread.inputFailure = EACCES
    #expect(WorkerState.failure("d", unread)?.code == "permission_denied")
    unread.termination = .exited(0)
    #expect(WorkerState.failure("d", unread) == nil)
  }
}

extension [WorkerState.Action] {
  fileprivate var claimNumbers: [Int] { compactMap { if case .claim(_, let number) = $0 { number } else { nil } } }

  /// As words, to be compared.
  fileprivate var texts: [String] {
    map { action in
      switch action {
      case .claim(let maximum, _): "claim \(maximum)"
      case .run(let document): "run \(document.documentID)"
      case .report(let request):
        "report " + (request.completed + request.failed.map(\.documentID)).joined(separator: ",")
      case .signal(let number): "signal \(number)"
      case .finish(.fenced(let message)): "finish fenced \(message)"
      case .finish(let ending): "finish \(ending)"
      }
    }
  }
}
