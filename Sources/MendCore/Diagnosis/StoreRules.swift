// Trouble of the server itself, which holds up every batch.

extension DiagnosisContext {
  /// The server only shows a copy: what the journal calls running belongs to the original.
  func servedCopy() -> [Finding] {
    guard let copy = batchContext.server.copy, !batch.status.isFinal else { return [] }
    return [
      Finding(
        cause: .health(.copy), confidence: .high,
        message: sentence(copy) + " What became of the batch after the copy was made is not known here.",
        evidence: [Evidence(copy, by: .scheduler, at: now, values: [:])],
        remedy: Remedy(
          "Ask the original's server. If the original is no longer in use, turn the copy into a data directory of its own",
          by: .serve([.adoptCopy])))
    ]
  }

  /// The journal cannot be written. What happens meanwhile is recorded once it can be.
  func storeFull() -> [Finding] {
    guard let store = batchContext.server.outage, !batch.status.isFinal else { return [] }
    return [
      Finding(
        category: .infrastructure, cause: .health(.storeFull), confidence: .high,
        message:
          "The server cannot write its journal, so changes are refused and nothing new is started; what runs goes on "
          + "running, and its results are taken once \(store.isDamaged ? "the journal is whole" : "there is room").",
        evidence: [
          Evidence(
            store.message, by: .scheduler, at: store.since,
            values: ["seconds": Figures.number((now - store.since).inSeconds)])
        ],
        remedy: store.isDamaged
          ? Remedy(
            "Stop the server, and bring the journal back from a copy or make a whole one of what can be read",
            by: .rebuildJournal)
          : Remedy("Make room on the file system of the server's data directory: the server goes on by itself"))
    ]
  }
}
