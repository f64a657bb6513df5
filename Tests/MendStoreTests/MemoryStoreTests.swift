import MendCore
import MendRuntime
import Testing

@testable import MendStore

/// The conformance suite on the simulator's store; what it left behind is itself.
struct MemoryStoreConformanceTests {
  private let suite = StoreConformance(open: { MemoryStore() }, reopen: { $0 })

  @Test("what was committed is there after reopening") func durability() throws {
    try suite.keepsEverythingOverReopening()
  }
  @Test("a batch's records keep their order") func order() throws { try suite.keepsTheOrderOfInterleavedBatches() }
  @Test("a journal can be read from any sequence on") func after() throws { try suite.givesAJournalAfterASequence() }
  @Test("a commit is written whole or not at all") func atomicity() throws { try suite.writesAllOrNothing() }
  @Test("what was learnt of starts is there after reopening, the latest of each slot") func starts() throws {
    try suite.keepsTheLatestStartsOfEachSlot()
  }
  @Test("idempotency keys live until they expire") func keys() throws { try suite.remembersKeysUntilTheyExpire() }
  @Test("a retired batch needs no recovery and stays readable") func retire() throws {
    try suite.retiresWithoutForgetting()
  }
  @Test("a record makes a retired batch live again") func revive() throws {
    try suite.bringsARetiredBatchBackToLife()
  }
  @Test("retired batches come newest first, in pages") func paging() throws { try suite.listsRetiredBatchesInPages() }
}
