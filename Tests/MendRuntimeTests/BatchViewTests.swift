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

  @Test("keeps what a reader made of it, under one mark")
  func kept() throws {
    let view = try view()
    var bytes: [UInt8] = []
    #expect(!view.kept.append(of: 100, to: &bytes))
    view.kept.keep([1, 2], of: 100)
    #expect(view.kept.append(of: 100, to: &bytes))
    #expect(bytes == [1, 2])
    #expect(!view.kept.append(of: 101, to: &bytes))
    view.kept.keep([3], of: 101)
    #expect(!view.kept.append(of: 100, to: &bytes))
  }
}
