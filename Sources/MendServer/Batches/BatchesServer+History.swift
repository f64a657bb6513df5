import MendAPI
import MendCore
import MendJournal
import MendProtobuf
import MendRPC
import MendRuntime

extension BatchesServer {
  static let eventsPerPage = (standard: 100, maximum: 1000)
  /// The most bytes of a page; clients accept 4 MiB.
  static let eventBytesPerPage = 1 << 20

  func listEvents(
    _ request: ListEventsRequest, context: ServerContext
  ) async throws(RPCError) -> ListEventsResponse {
    let call = try gate.admit(context)
    try call.check(batchID: request.batchID)
    let pageSize = try call.pageSize(request.pageSize, Self.eventsPerPage)
    let view = try await view(of: request.batchID, call)
    guard request.afterSequence <= view.batch.sequence else {
      throw call.outOfRange(
        "after_sequence", "\(request.afterSequence) is beyond the batch's sequence \(view.batch.sequence)",
        todo: "continue after the sequence of the last event received, or use 0 to start from the beginning")
    }
    let records: [Record]
    do throws(ReadError) {
      records = try await runtime.journal(of: view.batch.key, after: request.afterSequence, limit: pageSize)
    } catch {
      throw unreadable(call, error)
    }
    // The batch was forgotten between the two reads: a history that stops short is not returned.
    guard !records.isEmpty || request.afterSequence == view.batch.sequence else {
      throw call.notFound("batch", request.batchID)
    }
    var response = ListEventsResponse()
    response.batchID = request.batchID
    response.sequence = max(view.batch.sequence, records.last?.sequence ?? 0)
    if request.includeRecords { response.capacity = ExecutorCapacity(runtime.capacities.of(view.batch)) }
    var bytes = 0
    for record in records {
      var event = BatchEvent(record)
      if request.includeRecords { event.record = record.withoutSecrets.journalBytes }
      let steps = event.steps.reduce(0) { $0 + $1.serialized().count }
      bytes += event.record.count + event.summary.utf8.count + steps + 64
      // The first event is sent whatever its size.
      if bytes > Self.eventBytesPerPage, !response.events.isEmpty { break }
      response.events.append(event)
    }
    return response
  }
}
