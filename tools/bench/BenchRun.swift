import ArgumentParser
import MendAPI
import MendClient
import MendProtobuf
import MendRPC
import Synchronization

/// One measurement: its connections, its callers, and what they saw.
struct BenchRun {
  let options: Bench
  let address: ServerAddress
  let method: MethodDescriptor
  /// The request, encoded once; nil where every call needs its own idempotency key.
  let payload: [UInt8]
  let request: BenchRequest

  init(options: Bench) throws {
    self.options = options
    address =
      switch try Endpoint(options.server) {
      case .tcp(let host, let port): .tcp(host: host, port: port)
      case .unix(let path): .unix(path: path)
      }
    let methods = Batches.descriptor.methods + Worker.descriptor.methods
    let unary = methods.filter { $0.shape == .unary }
    guard let method = unary.first(where: { $0.method.lowercased() == options.call.lowercased() }) else {
      throw ValidationError(
        "'\(options.call)' is no unary method; there is: \(unary.map(\.method).joined(separator: ", ")).")
    }
    self.method = method
    request = try BenchRequest(method: method.method, json: options.request, batch: options.batch)
    payload = request.bytes(key: "")
  }

  func measure() async throws -> BenchResult {
    var connections: [BenchConnection] = []
    for _ in 0..<options.connections { connections.append(try await connect()) }
    let watching = WatchCounter()
    let state = RunState(limit: options.count)
    let clock = ContinuousClock()
    var histogram = Histogram()
    var errors: [String: Int] = [:]
    try await withThrowingTaskGroup(of: Void.self) { group in
      let watchConnections = try await watch(watching, in: &group)
      try await warmUp(connections)
      let start = clock.now
      state.begin()
      let deadline = options.count == nil ? start + .seconds(options.duration) : nil
      await withTaskGroup(of: CallerResult.self) { callers in
        for connection in connections {
          for _ in 0..<options.streams {
            callers.addTask { await callInLoop(connection.channel, state, until: deadline) }
          }
        }
        // Cancelled and awaited where this scope ends.
        async let _: Void = Progress(state: state).run()
        for await result in callers {
          histogram.merge(result.histogram)
          errors.merge(result.errors, uniquingKeysWith: +)
        }
      }
      state.end()
      group.cancelAll()
      for connection in watchConnections { await connection.close() }
      while let ended = await group.nextResult() { _ = ended }
    }
    for connection in connections { await connection.close() }
    return BenchResult(
      options: options, method: method.method, seconds: state.seconds, histogram: histogram, errors: errors,
      watchMessages: watching.messages.load(ordering: .relaxed),
      watchFailures: watching.failures.load(ordering: .relaxed))
  }

  private func connect() async throws -> BenchConnection {
    do {
      if options.pooled {
        let pool = ClientPool(address)
        // Connects, and knows at once where nobody listens.
        let _: RawMessage = try await pool.unary(
          MethodDescriptor(service: "grpc.health.v1.Health", method: "Check", shape: .unary), RawMessage([]),
          options: CallOptions())
        return BenchConnection(channel: pool) { await pool.close() }
      }
      let connection = try await ClientConnection.connect(to: address)
      return BenchConnection(channel: connection) { await connection.close() }
    } catch {
      throw ValidationError("\(error.message); is a server running there? mend serve --data DIR")
    }
  }

  private var callOptions: CallOptions {
    var call = CallOptions()
    if let token = options.token { call.metadata["authorization"] = "Bearer \(token)" }
    if let namespace = options.namespace { call.metadata["mend-namespace"] = namespace }
    return call
  }

  private func warmUp(_ connections: [BenchConnection]) async throws {
    let call = callOptions
    for connection in connections {
      for _ in 0..<options.warmup {
        do {
          let _: RawMessage = try await connection.channel.unary(method, next(), options: call)
        } catch  where error.code == .unavailable {
          throw ValidationError(error.message)
        } catch {
          // What the server refuses is counted in the measurement.
          break
        }
      }
    }
  }

  private func callInLoop(
    _ channel: any RPCChannel, _ state: RunState, until deadline: ContinuousClock.Instant?
  ) async -> CallerResult {
    var result = CallerResult()
    let call = callOptions
    let clock = ContinuousClock()
    while state.take() {
      let start = clock.now
      if let deadline, start >= deadline { break }
      do throws(RPCError) {
        let _: RawMessage = try await channel.unary(method, next(), options: call)
      } catch {
        result.errors[error.code.description, default: 0] += 1
        // A connection that is gone answers at once and for ever.
        if error.code == .unavailable { break }
      }
      let elapsed = (clock.now - start).components
      result.histogram.record(UInt64(elapsed.seconds) * 1_000_000_000 + UInt64(elapsed.attoseconds / 1_000_000_000))
      state.count()
    }
    return result
  }

  private func next() -> RawMessage {
    request.needsKey ? RawMessage(request.bytes(key: MendClient.randomIdempotencyKey())) : RawMessage(payload)
  }

  private func watch(
    _ counter: WatchCounter, in group: inout ThrowingTaskGroup<Void, any Error>
  ) async throws -> [BenchConnection] {
    guard options.watchers > 0, let batch = options.batch else { return [] }
    // As many watches on a connection as there are callers on one.
    var connections: [BenchConnection] = []
    for _ in 0..<((options.watchers + options.streams - 1) / options.streams) {
      connections.append(try await connect())
    }
    let call = callOptions
    for index in 0..<options.watchers {
      let client = BatchesClient(connections[index / options.streams].channel)
      group.addTask {
        var request = WatchProgressRequest()
        request.batchID = batch
        do {
          for try await _ in try await client.watchProgress(request, options: call) {
            counter.messages.wrappingAdd(1, ordering: .relaxed)
          }
        } catch {
          if !Task.isCancelled { counter.failures.wrappingAdd(1, ordering: .relaxed) }
        }
      }
    }
    return connections
  }
}

/// What callers share, and how it ends.
struct BenchConnection: Sendable {
  let channel: any RPCChannel
  let close: @Sendable () async -> Void
}

struct CallerResult: Sendable {
  var histogram = Histogram()
  var errors: [String: Int] = [:]
}

final class WatchCounter: Sendable {
  let messages = Atomic<Int>(0)
  let failures = Atomic<Int>(0)
}

/// What all callers share: how many calls are left, and how many were made.
final class RunState: Sendable {
  private let left: Atomic<Int>
  private let made = Atomic<Int>(0)
  private let times = Mutex<(start: ContinuousClock.Instant?, end: ContinuousClock.Instant?)>((nil, nil))

  init(limit: Int?) { left = Atomic(limit ?? .max) }

  func take() -> Bool { left.wrappingSubtract(1, ordering: .relaxed).oldValue > 0 }
  func count() { made.wrappingAdd(1, ordering: .relaxed) }
  var done: Int { made.load(ordering: .relaxed) }

  func begin() { times.withLock { $0.start = .now } }
  func end() { times.withLock { $0.end = .now } }

  var seconds: Double {
    times.withLock { times in
      guard let start = times.start else { return 0 }
      let elapsed = ((times.end ?? .now) - start).components
      return Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
    }
  }
}
