import FoundationEssentials
import Glibc
import Logging
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendExecutors

extension TemporaryDirectory {
  /// An attempt's directory below this one, as a server's data directory has it.
  func attempt(_ key: AttemptKey) -> AttemptDirectory { AttemptDirectory(of: key, below: "\(path)/attempts") }
}

/// What an executor said, in order.
struct Observations {
  fileprivate var iterator: AsyncStream<Observation>.Iterator
  private(set) var all: [Observation] = []

  /// The next one that matches; those before it are kept in `all`. The test's time limit is the deadline.
  mutating func next<T>(_ match: (Observation) -> T?) async throws -> T {
    while let observation = await iterator.next(isolation: #isolation) {
      all.append(observation)
      if let value = match(observation) { return value }
    }
    throw Ended()
  }

  struct Ended: Error {}

  mutating func started(_ key: AttemptKey) async throws {
    try await next { $0 == .started(key) ? () : nil }
  }

  mutating func taken(_ key: AttemptKey) async throws -> ExecutorHandle {
    try await next { if case .taken(key, let handle) = $0 { handle } else { nil } }
  }

  mutating func ended(_ key: AttemptKey) async throws -> (exit: ExitRecord, receipt: EndReceipt?) {
    try await next { if case .ended(key, let exit, let receipt) = $0 { (exit, receipt) } else { nil } }
  }
}

/// Runs a body with an executor on a data directory, as a server does, and stops the executor afterwards.
func withExecutor(
  in data: TemporaryDirectory, mend: String? = nil, change: (inout LocalExecutor.Settings) -> Void = { _ in },
  _ body: (LocalExecutor, inout Observations) async throws -> Void
) async throws {
  let mend = try mend ?? #require(BuiltProgram.mend)
  var logger = Logger(label: "test")
  logger.logLevel = .critical
  var settings = LocalExecutor.Settings(
    dataDirectory: data.path, mendBinary: mend, endpoint: "unix:\(data.path)/mend.sock", logger: logger)
  change(&settings)
  let executor = try LocalExecutor(settings)
  let (stream, continuation) = AsyncStream<Observation>.makeStream(bufferingPolicy: .bufferingOldest(10_000))
  var observations = Observations(iterator: stream.makeAsyncIterator())
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { await executor.run { continuation.yield($0) } }
    defer { group.cancelAll() }
    try await body(executor, &observations)
  }
}

func makeKey(_ number: Int = 1, batch: String = "b\(UInt32.random(in: 0 ... .max))") -> AttemptKey {
  AttemptKey(batch: BatchKey(namespace: "test", batchID: batch), job: JobID(tier: 0, index: 1), number: number)
}

func makeLaunch(
  _ entrypoint: String, memory: Int64 = 0, environment: [String: String] = [:],
  work: ExtractorSpecification.Work? = nil, limits: AttemptLimits = AttemptLimits()
) -> Launch {
  let token = (0..<4).map { _ in String(UInt32.random(in: (1 << 28)...(.max)), radix: 16) }.joined()
  return Launch(
    token: token,
    parameters: SubmissionParameters(
      extractorName: "extract", work: work ?? .entrypoint(entrypoint), executor: .local,
      resources: Resources(cpus: 1, memoryBytes: memory, limits: limits), priority: 50, environment: environment,
      runTimeout: nil),
    timers: Timers())
}

func lines(of path: String) -> [Substring] {
  String(decoding: contents(of: path) ?? [], as: UTF8.self).split(separator: "\n")
}

func isAlive(_ pid: Int32) -> Bool { processStatus(of: pid).map { !$0.isDead } ?? false }

// A test has descriptors enough: what cannot be read is not there.

func contents(of path: String) -> [UInt8]? { (try? FileSystem.read(path)) ?? nil }
func names(in directory: String) -> [String] { (try? FileSystem.names(in: directory)) ?? [] }
func exists(_ path: String) -> Bool { (try? FileSystem.exists(path)) ?? false }
func processStatus(of pid: Int32) -> ProcessTable.Status? { (try? ProcessTable.status(of: pid)) ?? nil }
func processChildren(of process: ProcessTable.Status) -> [Int32] { (try? ProcessTable.children(of: process)) ?? [] }
func processArguments(of pid: Int32) -> [String] { (try? ProcessTable.arguments(of: pid)) ?? [] }
func leftovers(of directory: AttemptDirectory) -> [ProcessTable.Status] {
  (try? Leftovers(directory: directory).find()) ?? []
}
func reference(to identity: ProcessIdentity, collecting: Bool = false) -> ProcessReference? {
  (try? ProcessReference(identity, collecting: collecting)) ?? nil
}

extension AttemptDirectory {
  func holds<Content>(_ record: AttemptRecords.Record<Content>) -> Bool { (try? has(record)) ?? false }
}
