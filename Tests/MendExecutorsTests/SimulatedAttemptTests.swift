@testable import MendCore
import MendRuntime
import Synchronization
import Testing

@testable import MendExecutors

@Suite("A simulated attempt")
struct SimulatedAttemptTests {
  @Test("does its documents by claims and reports, and exits 0")
  func completes() throws {
    var server = PlayedServer(documents: 40)
    let attempt = try server.run("document_seconds=0.01 claim=16")
    #expect(server.completed.count == 40)
    #expect(Set(server.completed).count == 40)
    #expect(attempt.termination == .exited(0))
    #expect(server.claims == 4)
    #expect(server.now == server.began + .milliseconds(400))
  }

  @Test("fails the same documents under the same seed, and others under another")
  func failures() throws {
    var failed: [[String]] = []
    for words in ["fail=20%:corrupt seed=1", "fail=20%:corrupt seed=1 claim=7", "fail=20%:corrupt seed=2"] {
      var server = PlayedServer(documents: 200)
      _ = try server.run(words)
      failed.append(server.failed.sorted())
      #expect(server.completed.count + server.failed.count == 200)
      #expect((20...60).contains(server.failed.count))
    }
    #expect(failed[0] == failed[1])
    #expect(failed[0] != failed[2])
  }

  @Test(
    "ends at the document that it is told to, with what it had done reported before",
    arguments: [
      ("exit_at=7:3", ExitRecord.Termination.exited(3), 6), ("signal_at=1:11", .signalled(11), 0),
      ("oom_at=10", .signalled(9), 9), ("exit=4", .exited(4), 20), ("exit_at=7:3 times=0", .exited(0), 20),
      ("lost_supervisor_at=2", .unknown("simulated: the supervisor was killed; nobody saw how it ended"), 1),
      ("oom_at=3 memory=1000", .exited(0), 20), ("oom_at=3 memory=1001", .signalled(9), 2),
    ])
  func faults(_ words: String, _ termination: ExitRecord.Termination, _ done: Int) throws {
    var server = PlayedServer(documents: 20)
    let exit = try server.run(words + " claim=5", memoryBytes: 1000)
    #expect(exit.termination == termination)
    #expect(server.completed.count == done)
    if case .signalled(9) = termination { #expect(exit.memoryLimitExceeded) }
  }

  @Test("asks again for what a lost answer had in it, the first, one between or the last", arguments: [1, 2, 5])
  func lostAnswer(_ claim: Int) throws {
    var server = PlayedServer(documents: 20)
    server.losesClaims = [claim]
    let exit = try server.run("claim=5")
    #expect(exit.termination == .exited(0))
    #expect(server.completed.sorted() == (0..<20).map { "d\($0)" }.sorted())
  }

  @Test("hangs with beats, or is silent")
  func stalls() throws {
    for (words, beats) in [("hang_at=3", true), ("silence_at=3", false)] {
      var server = PlayedServer(documents: 5)
      server.until = server.began + .seconds(100)
      #expect(throws: PlayedServer.NotOver.self) { try server.run(words) }
      #expect(server.completed.count == 2)
      #expect((server.beats > 5) == beats)
    }
  }

  @Test("ends by SIGTERM, or by SIGKILL after the grace, once, and says so again")
  func ends() throws {
    for (words, how, milliseconds) in [("", "SIGTERM", 0), ("ignore_term", "SIGKILL after 10 s", 10_000)] {
      let server = PlayedServer(documents: 5)
      var attempt = try server.attempt("document_seconds=3600 " + words)
      _ = attempt.begin(at: server.now)
      let now = server.now + .seconds(5)
      var said = attempt.end(grace: .seconds(10), at: now)
      if said.isEmpty {
        #expect(attempt.wakeAt == now + .milliseconds(milliseconds))
        said = attempt.wake(at: attempt.wakeAt)
      }
      guard case .observe(.ended(_, _, let receipt)) = said.last else {
        Issue.record("no end in \(said)")
        continue
      }
      #expect(receipt == EndReceipt(processes: 1, how: how))
      #expect(attempt.end(grace: .zero, at: now + .seconds(60)) == said)
      #expect(attempt.announce() == said)
    }
  }

  @Test(
    "refuses words that it does not understand, and says which",
    arguments: ["fial=3%", "fail=3", "oom_at=x", "oom_at=3 hang_at=4", "exit=999", "document_seconds=2-1", "lat"])
  func mistakes(_ words: String) throws {
    let word = try #require(words.split(separator: " ").last)
    do throws(SimulatedBehaviour.Mistake) {
      _ = try SimulatedBehaviour(of: PlayedServer.parameters("simulate \(words)", memoryBytes: 0))
      Issue.record("\(words) was understood")
    } catch {
      #expect(error.description.contains(word))
    }
  }

  @Test("runs or refuses whatever number a word has", arguments: SimulatedBehaviour.words)
  func extremes(_ line: String) throws {
    guard let equals = line.firstIndex(of: "=") else { return }
    let numbers = [
      "", "-1", "0", "2147483648", "9007199254740993", "72057594037927937", "9223372036854775807",
      "9223372036854775808",
      "1e300", "nan", "inf", "-inf", "0-1e300", "0.5-nan", "1e400%", "nan%", "100%", "9223372036854775807:255",
      "1:9223372036854775807", "1:-1",
    ]
    for number in numbers {
      var server = PlayedServer(documents: 3)
      do {
        _ = try server.run("\(line[..<equals])=\(number)", memoryBytes: 1 << 56)
      } catch let error as SimulatedBehaviour.Mistake {
        #expect(error.description.contains(number))
      } catch is PlayedServer.NotOver {}
    }
  }

  @Test("takes its words from the environment before those of the command, and none from other commands")
  func places() throws {
    var parameters = PlayedServer.parameters("simulate claim=3 seed=2", memoryBytes: 0)
    parameters.environment["MEND_SIMULATE"] = "claim=4"
    let behaviour = try SimulatedBehaviour(of: parameters)
    #expect(behaviour.claim == 4 && behaviour.seed == 2)
    #expect(try SimulatedBehaviour(of: PlayedServer.parameters("pdftotext x", memoryBytes: 0)) == .init())
  }
}

/// A server and its clock, as one attempt's worker sees them.
private struct PlayedServer {
  struct NotOver: Error {}

  let began = Instant(milliseconds: 1_000_000)
  var now = Instant(milliseconds: 1_000_000)
  var until = Instant(milliseconds: 100_000_000)
  var losesClaims: Set<Int> = []
  private(set) var completed: [String] = []
  private(set) var failed: [String] = []
  private(set) var claims = 0
  private(set) var beats = 0
  private let documents: [Document]
  private var pending: [Document]
  private var lastClaim: (id: String, documents: [Document]) = ("", [])

  init(documents count: Int) {
    documents = (0..<count).map { Document(id: "d\($0)", uri: "file:///d\($0)") }
    pending = documents
  }

  static func parameters(_ command: String, memoryBytes: Int64) -> SubmissionParameters {
    SubmissionParameters(
      extractorName: "text", work: .documentCommand(command), executor: .simulated,
      resources: Resources(memoryBytes: memoryBytes), priority: 50, environment: [:], runTimeout: nil)
  }

  private static let key = AttemptKey(
    batch: BatchKey(namespace: "n", batchID: "b"), job: JobID(tier: 0, index: 0), number: 1)

  func attempt(_ words: String, memoryBytes: Int64 = 0) throws -> SimulatedAttempt {
    let launch = Launch(
      token: "token", parameters: Self.parameters("simulate \(words)", memoryBytes: memoryBytes), timers: Timers())
    return SimulatedAttempt(
      Self.key, launch, try SimulatedBehaviour(of: launch.parameters), documents: documents, at: now)
  }

  /// Runs an attempt to its end.
  mutating func run(_ words: String, memoryBytes: Int64 = 0) throws -> ExitRecord {
    var attempt = try attempt(words, memoryBytes: memoryBytes)
    var actions = attempt.begin(at: now)
    while true {
      var answers: [Result<Reply, Refusal>] = []
      for action in actions {
        switch action {
        case .observe(.ended(_, let exit, _)): return exit
        case .observe: break
        case .say(let operation): answers.append(answer(operation))
        }
      }
      actions = []
      if let answer = answers.first {
        actions = attempt.answered(answer, at: now)
      } else {
        guard attempt.wakeAt <= until else { throw NotOver() }
        now = max(now, attempt.wakeAt)
        actions = attempt.wake(at: now)
      }
    }
  }

  private mutating func answer(_ operation: WorkerRequest.Operation) -> Result<Reply, Refusal> {
    switch operation {
    case .start:
      return .success(
        .workerStarted(
          Reply.WorkerAssignment(
            attempt: Self.key, parameters: Self.parameters("", memoryBytes: 0), collectionID: "text",
            heartbeat: .seconds(10), documentsLeft: pending.count)))
    case .claim(let maximum, let id):
      claims += 1
      let claimed = lastClaim.id == id ? lastClaim.documents : Array(pending.prefix(maximum))
      if lastClaim.id != id { pending.removeFirst(claimed.count) }
      lastClaim = (id, claimed)
      if losesClaims.contains(claims) { return .failure(.unavailable("lost")) }
      return .success(.claimed(.init(documents: claimed, isFinished: claimed.isEmpty)))
    case .report(let report):
      completed += report.completed
      failed += report.failed.map(\.documentID)
      if report == WorkerRequest.Report() { beats += 1 }
      return .success(.reported(.init(accepted: 1, repeated: 0, stop: false)))
    }
  }
}
