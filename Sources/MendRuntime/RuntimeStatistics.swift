/// Figures for metrics: counters since the start, and gauges of this moment.
package struct RuntimeStatistics: Sendable, Hashable {
  // Counters.
  /// Events that the core was stepped with.
  package var events: UInt64 = 0
  /// Rounds of the writer; those with writes made one commit each.
  package var rounds: UInt64 = 0
  package var commits: UInt64 = 0
  package var records: UInt64 = 0
  /// Time spent in the store's commits, all together.
  package var commitTime: Duration = .zero
  /// Calls refused because a bound of the runtime was reached.
  package var callsRefused: UInt64 = 0
  /// Answers for callers that had gone.
  package var answersUnclaimed: UInt64 = 0
  package var documentsCommitted: UInt64 = 0
  package var documentsFailed: UInt64 = 0
  package var attemptsStarted: UInt64 = 0
  package var attemptsFailed: UInt64 = 0
  package var batchesCreated: UInt64 = 0
  package var batchesRetired: UInt64 = 0
  /// Reads of the journal for callers, and those refused because too many waited.
  package var reads: UInt64 = 0
  package var readsRefused: UInt64 = 0

  // Gauges.
  /// Events that wait for the writer.
  package var mailboxDepth = 0
  package var unansweredCalls = 0
  /// Batches in the core's memory.
  package var liveBatches = 0
  /// Bytes that the specifications and jobs of batches in memory take, and their documents.
  package var specificationBytes = 0
  package var documentBytes = 0
  /// Attempts that were intended and have not ended.
  package var runningAttempts = 0
  package var watchers = 0
  /// Batches that nothing is done with, for what is wrong with them.
  package var batchesSetAside = 0
  /// The store can't be written at present.
  package var isStoreFull = false
  /// Of the store's log that wait to be taken into its main file.
  package var logBytes: Int64 = 0
  /// Reads of the journal that wait for a thread.
  package var readsWaiting = 0

  package init() {}
}
