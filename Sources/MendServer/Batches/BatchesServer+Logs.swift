import MendAPI
import MendCore
import MendRPC
import MendRuntime
import Synchronization

// ReadLogs: what attempts wrote, read from their executors.

extension BatchesServer {
  /// Bytes of log in one message.
  static let logPieceBytes = 64 * 1024
  typealias SendLog = @Sendable (ReadLogsResponse) async throws(RPCError) -> Void

  func readLogs(
    _ request: ReadLogsRequest, writer: ResponseWriter<ReadLogsResponse>, context: ServerContext
  ) async throws(RPCError) {
    let call = try gate.admit(context)
    try await readLogs(request, call, readmit: { () throws(RPCError) in try gate.readmit(context) }) {
      piece throws(RPCError) in try await writer.write(piece)
    }
  }

  /// Sends what there is, and with `follow` what comes. Nothing is buffered between two pieces: a slow reader delays
  /// only its own stream.
  ///
  /// - Parameter readmit: throws if the caller is no longer admitted.
  func readLogs(
    _ request: ReadLogsRequest, _ call: Call, readmit: () throws(RPCError) -> Void = {}, send: SendLog
  ) async throws(RPCError) {
    var logs = try LogSelection(request, call)
    var isFirst = true
    if request.follow { followers.add(1) }
    defer { if request.follow { followers.add(-1) } }
    while !Task.isCancelled {
      // Checked before the logs are read: then all that an ended attempt wrote is there.
      let view = try await view(of: request.batchID, call)
      let batch = view.batch
      let places = try logs.places(in: batch, call)
      for place in places { try await pass(place, &logs, call, isFirst: isFirst, send) }
      isFirst = false
      if !request.follow || logs.isOver(in: batch) { return }
      if drain.hasBegun {
        throw call.unavailable("the server is stopping; ask again with positions", retryAfter: .seconds(1))
      }
      let due = runtime.now() + followers.interval
      repeat {
        // No sequence is beyond this one: this waits for the time alone.
        let until = min(due, runtime.now() + LogFollowers.shortestInterval)
        _ = try await change(of: view, after: .max, until: until, call)
        try readmit()
      } while runtime.now() < due && !Task.isCancelled && !drain.hasBegun
    }
  }

  /// Sends a log up to its current end.
  private func pass(
    _ place: LogSelection.Place, _ logs: inout LogSelection, _ call: Call, isFirst: Bool, _ send: SendLog
  ) async throws(RPCError) {
    while !Task.isCancelled {
      let offset = logs.offset(of: place)
      let result = await runtime.log(
        of: place.attempt, on: place.executor, place.handle, place.stream, from: offset, limit: Self.logPieceBytes)
      switch result {
      case .success(let piece):
        if piece.bytes.isEmpty { return }
        var response = ReadLogsResponse()
        response.jobID = place.attempt.job.description
        response.attempt = Int32(clamping: place.attempt.number)
        response.stream = MendAPI.LogStream(place.stream)
        response.offset = piece.offset
        response.data = piece.bytes
        response.leftOutBytes = piece.offset - offset
        try await send(response)
        logs.advance(place, to: piece.offset + Int64(piece.bytes.count))
      case .failure(.notKept(let reason)):
        if logs.isToBeSaid(of: place) { try await send(Self.note(reason, on: place)) }
        return
      case .failure(.gone):
        return
      case .failure(.unreachable(let reason)):
        // With follow the log is read again. A caller who wants what there is now has to know that it is not all.
        if isFirst {
          throw call.unavailable("the executor cannot be asked for a log: \(reason)", retryAfter: .seconds(5))
        }
        return
      }
    }
  }

  /// A piece without bytes that says why there are none.
  private static func note(_ text: String, on place: LogSelection.Place) -> ReadLogsResponse {
    var response = ReadLogsResponse()
    response.jobID = place.attempt.job.description
    response.attempt = Int32(clamping: place.attempt.number)
    response.stream = MendAPI.LogStream(place.stream)
    response.note = text
    return response
  }
}

/// Counts the logs that are followed, and decides how often each is read, so that all together are read no more than a
/// fixed number of times a second.
final class LogFollowers: Sendable {
  static let shortestInterval: Duration = .milliseconds(250)
  static let looksPerSecond = 2000

  private let count = Atomic(0)

  func add(_ change: Int) { count.wrappingAdd(change, ordering: .relaxed) }

  /// The time between two reads of a log.
  var interval: Duration {
    max(Self.shortestInterval, .seconds(1) * count.load(ordering: .relaxed) / Self.looksPerSecond)
  }
}

/// The logs that a call asks for, and how far each has been sent.
struct LogSelection {
  struct Place: Hashable {
    var attempt: AttemptKey
    var executor: MendCore.ExecutorKind
    var stream: MendRuntime.LogStream
    var handle: ExecutorHandle?
  }

  private struct Name: Hashable {
    var job: JobID
    var attempt: Int
    var stream: MendRuntime.LogStream
  }

  /// The job; nil for every job.
  private let job: JobID?
  /// The attempt; nil for the latest.
  private let attempt: Int?
  private let streams: [MendRuntime.LogStream]
  private var offsets: [Name: Int64] = [:]
  private var noted: Set<Name> = []

  /// The most `positions` of a call.
  static let positionsMaximum = 1000

  init(_ request: ReadLogsRequest, _ call: Call) throws(RPCError) {
    try call.check(batchID: request.batchID)
    job = request.jobID.isEmpty ? nil : try call.job(request.jobID, "job_id", batchID: request.batchID)
    guard request.attempt >= 0 else {
      throw call.invalid("attempt", "must be 1 or more, or 0 for the latest, is \(request.attempt)")
    }
    attempt = request.attempt == 0 ? nil : Int(request.attempt)
    guard let streams = MendRuntime.LogStream.named(request.stream) else {
      throw call.invalid("stream", "is not a known stream")
    }
    self.streams = streams
    guard request.positions.count <= Self.positionsMaximum else {
      throw call.invalid("positions", "must be \(Self.positionsMaximum) at most, are \(request.positions.count)")
    }
    for (index, position) in request.positions.enumerated() {
      let path = "positions[\(index)]"
      guard let job = JobID(position.jobID) else { throw call.invalid("\(path).job_id", "must name a job, e.g. t0-j1") }
      guard position.attempt > 0 else {
        throw call.invalid("\(path).attempt", "must be 1 or more, is \(position.attempt)")
      }
      guard let stream = MendRuntime.LogStream.named(position.stream), stream.count == 1 else {
        throw call.invalid("\(path).stream", "must be stdout or stderr")
      }
      let offset = try call.checked { () throws(FieldViolation) in
        try FieldRule.count(position.offset, "\(path).offset")
      }
      offsets[Name(job: job, attempt: Int(position.attempt), stream: stream[0])] = Int64(offset)
    }
  }

  /// The logs to read now: the attempts asked for that have begun, in the order of tiers and jobs.
  func places(in batch: Batch, _ call: Call) throws(RPCError) -> [Place] {
    let jobs = batch.tiers.flatMap(\.jobs).filter { job == nil || $0.id == job }
    if let job, jobs.isEmpty { throw call.notFound("job", job.description, in: batch.key.batchID) }
    var places: [Place] = []
    for job in jobs {
      for attempt in wanted(of: job) {
        let key = AttemptKey(batch: batch.key, job: job.id, number: attempt.number)
        let executor = attempt.parameters.executor
        places += streams.map { Place(attempt: key, executor: executor, stream: $0, handle: attempt.handle) }
      }
    }
    if let attempt, places.isEmpty {
      let name = job.map { "\($0).\(attempt)" } ?? "\(attempt)"
      throw call.notFound("attempt", name, in: batch.key.batchID)
    }
    return places
  }

  /// A log that was begun is sent to its end, even if there is a newer attempt.
  private func wanted(of job: Job) -> [Attempt] {
    if let attempt { return job.attempts.filter { $0.number == attempt } }
    let latest = job.attempts.last?.number
    return job.attempts.filter { attempt in
      attempt.number == latest || offsets.keys.contains { $0.job == job.id && $0.attempt == attempt.number }
    }
  }

  /// True if nothing more will come: the jobs asked for are over, or the attempt is.
  func isOver(in batch: Batch) -> Bool {
    if batch.status.isFinal { return true }
    return batch.tiers.flatMap(\.jobs).filter { job == nil || $0.id == job }.allSatisfy { job in
      if let attempt { return job.attempts.first { $0.number == attempt }?.isCurrent != true }
      return job.status.isFinal
    }
  }

  func offset(of place: Place) -> Int64 { offsets[name(place)] ?? 0 }

  mutating func advance(_ place: Place, to offset: Int64) { offsets[name(place)] = offset }

  /// Sent once, and only to a caller that asked for this stream: a caller that asks for all streams misses nothing.
  mutating func isToBeSaid(of place: Place) -> Bool { streams.count == 1 && noted.insert(name(place)).inserted }

  private func name(_ place: Place) -> Name {
    Name(job: place.attempt.job, attempt: place.attempt.number, stream: place.stream)
  }
}

extension MendRuntime.LogStream {
  /// Nil for a stream that this server does not know.
  fileprivate static func named(_ stream: MendAPI.LogStream) -> [Self]? {
    switch stream {
    case .unspecified: allCases
    case .stdout: [.standardOutput]
    case .stderr: [.standardError]
    default: nil
    }
  }
}

extension MendAPI.LogStream {
  fileprivate init(_ stream: MendRuntime.LogStream) {
    self = stream == .standardOutput ? .stdout : .stderr
  }
}
