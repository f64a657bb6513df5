import Testing

@testable import MendCore

@Suite("Remembered answers")
struct AnswerMemoryTests {
  private static func entry(_ namespace: String, _ number: Int) -> IdempotencyEntry {
    IdempotencyEntry(
      namespace: namespace, key: "k\(number)", fingerprint: 0, batchID: "b", reply: nil,
      expires: Instant(milliseconds: Int64(1_000_000 + number)))
  }

  @Test("Namespaces that are made up make nobody's answers forgotten who has fewer")
  func boundOfAll() {
    var memory = AnswerMemory()
    for number in 0..<5 { memory.remember(Self.entry("small", number), limit: 100, limitOfAll: 50) }
    for number in 0..<100 {
      for namespace in ["large", "larger", "n\(number / 20)"] {
        memory.remember(Self.entry(namespace, 5 + number), limit: 100, limitOfAll: 50)
      }
    }
    #expect(memory.count == 50)
    for number in 0..<5 { #expect(memory.entry(namespace: "small", key: "k\(number)") != nil) }
    #expect(memory.entry(namespace: "large", key: "k5") == nil)
    #expect(memory.entry(namespace: "large", key: "k104") != nil)
    memory.forget(at: Instant(milliseconds: 2_000_000))
    #expect(memory.count == 0 && memory.places == 0)
  }

  @Test("Answers that were forgotten before their time leave no place behind")
  func places() {
    var memory = AnswerMemory()
    for number in 0..<20_000 { memory.remember(Self.entry("n", number), limit: 10, limitOfAll: 1000) }
    #expect(memory.count == 10)
    #expect(memory.places <= 2 * 10 + 1024 + 1)
    #expect(memory.entry(namespace: "n", key: "k19999") != nil)
  }
}
