/// Figures for metrics: counters since the start, and gauges of this moment.
public struct RuntimeStatistics: Sendable, Hashable {
  // Counters.
  /// Events that the core was stepped with.
  public var events: UInt64 = 0
  /// Rounds of the writer; those with writes made one commit each.
  public var rounds: UInt64 = 0
  public var commits: UInt64 = 0
  public var records: UInt64 = 0
  /// Time spent in the store's commits, all together.
  public var commitTime: Duration = .zero
  /// Calls refused because a bound of the runtime was reached.
  public var callsRefused: UInt64 = 0
  /// Answers for callers that had gone.
  public var answersUnclaimed: UInt64 = 0
  public var documentsCommitted: UInt64 = 0
  public var documentsFailed: UInt64 = 0
  public var attemptsStarted: UInt64 = 0
  public var attemptsFailed: UInt64 = 0
  public var batchesCreated: UInt64 = 0
  public var batchesRetired: UInt64 = 0
  /// Reads of the journal for callers, and those refused because too many waited.
  public var reads: UInt64 = 0
  public var readsRefused: UInt64 = 0

  // Gauges.
  /// Events that wait for the writer.
  public var mailboxDepth = 0
  public var unansweredCalls = 0
  /// Batches in the core's memory.
  public var liveBatches = 0
  /// Bytes that the specifications and jobs of batches in memory take, and their documents.
  public var specificationBytes = 0
  public var documentBytes = 0
  /// Attempts that were intended and have not ended.
  public var runningAttempts = 0
  public var watchers = 0
  /// Batches that nothing is done with, for what is wrong with them.
  public var batchesSetAside = 0
  /// The store can't be written at present.
  public var isStoreFull = false
  /// Of the store's log that wait to be taken into its main file.
  public var logBytes: Int64 = 0
  /// Reads of the journal that wait for a thread.
  public var readsWaiting = 0

  public init() {}
}
