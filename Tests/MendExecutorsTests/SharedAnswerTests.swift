import Synchronization
import TestSupport
import Testing

@testable import MendExecutors

@Suite(.timeLimit(.minutes(1))) struct SharedAnswerTests {
  /// Answers with its number, each when it is let go.
  private final class Question: Sendable {
    private let asked = Mutex<[CheckedContinuation<Int, Never>]>([])
    var count: Int { asked.withLock { $0.count } }
    func answer() async -> Int {
      await withCheckedContinuation { caller in asked.withLock { $0.append(caller) } }
    }
    func letGo(_ number: Int) { asked.withLock { $0[number] }.resume(returning: number) }
  }

  @Test(
    "Callers that come while an answer is on its way share the next one, and each gets one that was asked for later")
  func shared() async throws {
    let question = Question()
    let answers = SharedAnswer { await question.answer() }
    async let first = answers.value()
    #expect(await eventually { question.count == 1 })
    let others = Task {
      await withTaskGroup(of: Int.self) { group in
        for _ in 0..<20 { group.addTask { await answers.value() } }
        return await group.reduce(into: []) { $0.append($1) }
      }
    }
    #expect(await eventually { answers.waitingCount == 20 })
    question.letGo(0)
    #expect(await first == 0)
    #expect(await eventually { question.count == 2 })
    question.letGo(1)
    #expect(await others.value == Array(repeating: 1, count: 20))
    async let last = answers.value()
    #expect(await eventually { question.count == 3 })
    question.letGo(2)
    #expect(await last == 2)
  }
}
