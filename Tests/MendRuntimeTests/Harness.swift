import Logging
import MendCore
import MendRuntime
import MendStore
import TestSupport
import Testing

/// A runtime on a real store in a directory of its own, with a manual clock and a scripted executor.
final class Harness: Sendable {
  let directory: TemporaryDirectory
  let clock: ManualClock
  /// What happened, over all doubles.
  let trace = Seen<String>()
  let store: ObservedStore
  let executor: ScriptedExecutor
  let runtime: Runtime
  private let database: SQLiteStore

  init(
    directory: TemporaryDirectory? = nil, clock: ManualClock = ManualClock(), settings: RuntimeSettings = .init(),
    limits: Limits = Limits(), server: ServerIdentity = .none, answersAtOnce: Bool = false,
    logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  ) throws {
    self.directory = try directory ?? TemporaryDirectory()
    self.clock = clock
    database = try SQLiteStore(directory: self.directory.path)
    store = ObservedStore(database, trace)
    executor = ScriptedExecutor(trace, answersAtOnce: answersAtOnce)
    var capacity = Capacity(executor: .local, cpus: 8, memoryBytes: 8 << 30)
    capacity.traits.title = "a cluster"
    capacity.traits.endCommand = "stop-job"
    var core = Core(
      limits: limits, capacity: capacity,
      generator: SystemRandomNumberGenerator())
    core.server = server
    runtime = Runtime(
      core: core, store: store, executor: executor, clock: clock, settings: settings, logger: logger)
  }

  /// Runs the runtime around `body`; cancels it afterwards, and returns what `run()` threw.
  @discardableResult
  func run(_ body: (Harness) async throws -> Void) async throws -> RuntimeError? {
    let outcome = try await withThrowingTaskGroup(of: RuntimeError?.self) { group in
      group.addTask { [runtime] in
        do throws(RuntimeError) {
          try await runtime.run()
          return nil
        } catch {
          return error
        }
      }
      do {
        try await body(self)
      } catch {
        store.release()
        group.cancelAll()
        throw error
      }
      store.release()
      group.cancelAll()
      return try await group.next() ?? nil
    }
    try database.close()
    return outcome
  }

  // MARK: - Calls

  func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  func send(_ operation: Command.Operation, key: String = "") async -> Result<Reply, Refusal> {
    await runtime.command(Command(namespace: "n", idempotencyKey: key, operation: operation))
  }

  func create(
    _ id: String, documents: Int = 2, bucketID: String = "", key: String = ""
  ) async -> Result<Reply, Refusal> {
    let specification = BatchSpecification(
      bucketID: bucketID,
      tiers: [
        TierSpecification(extractors: [ExtractorSpecification(name: "text", work: .entrypoint("run"), shards: 2)])
      ])
    return await send(
      .createBatch(
        batchID: id, specification, documents: (0..<documents).map { Document(id: "d\($0)", uri: "file:///d\($0)") }),
      key: key)
  }
}

/// Waits for what other tasks and threads bring about, and fails where it does not come.
func eventually(
  _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async -> Bool
) async throws {
  try #require(await TestSupport.eventually(condition), what, sourceLocation: sourceLocation)
}
