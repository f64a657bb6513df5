// What the server itself lacks. It holds every batch up alike.

extension DiagnosisContext {
  /// The server only shows a copy: what the journal calls running is the original's.
  func servedCopy() -> [Finding] {
    guard let copy = batchContext.server.copy, !batch.status.isFinal else { return [] }
    return [
      Finding(
        cause: .health(.copy), confidence: .high,
        message: sentence(copy) + " What became of the batch after the copy was made is not known here.",
        evidence: [Evidence(copy, by: .scheduler, at: now, values: [:])],
        remedy: Remedy(
          "Ask the original's server; or serve this directory with --adopt-copy, where the original is not at work any "
            + "more"))
    ]
  }

  /// The journal can't be written: what happens meanwhile is found out once it can.
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
        remedy: Remedy(
          store.isDamaged
            ? "Stop the server; then mend doctor --data DIR --rebuild makes a whole journal of what can be read, or bring the "
              + "journal back from a copy"
            : "Make room on the file system of the server's data directory (mend serve --data): the server goes on by itself"
        ))
    ]
  }
}
