import MendCore
import MendRuntime
import Testing

@Suite("A published view")
struct BatchViewTests {
  private func view() throws -> BatchView {
    let record = Record(
      batch: BatchKey(namespace: "default", batchID: "b1"), sequence: 1, at: Instant(milliseconds: 1), cause: .caller,
      fact: .batchCreated(BatchSpecification()))
    return BatchView(batch: try #require(Batch.creating(record)))
  }

  @Test("keeps an answer for one second")
  func second() throws {
    let view = try view()
    var bytes: [UInt8] = []
    #expect(!view.appendKeptAnswer(of: 100, to: &bytes))
    view.keepAnswer([1, 2], of: 100)
    #expect(view.appendKeptAnswer(of: 100, to: &bytes))
    #expect(bytes == [1, 2])
    #expect(!view.appendKeptAnswer(of: 101, to: &bytes))
    view.keepAnswer([3], of: 101)
    #expect(!view.appendKeptAnswer(of: 100, to: &bytes))
  }

  @Test("keeps no answer above its limit")
  func limit() throws {
    let view = try view()
    var bytes: [UInt8] = []
    view.keepAnswer([UInt8](repeating: 1, count: BatchView.keptAnswerBytesLimit + 1), of: 1)
    #expect(!view.appendKeptAnswer(of: 1, to: &bytes))
    view.keepAnswer([UInt8](repeating: 1, count: BatchView.keptAnswerBytesLimit), of: 1)
    #expect(view.appendKeptAnswer(of: 1, to: &bytes))
  }
}
