internal import Dispatch
internal import FoundationEssentials
package import Logging
package import MendCore
import MendRuntime
internal import Synchronization

/// Runs attempts as processes of this machine, each under a supervisor of its own that outlives the server.
///
/// What is known of an attempt is in its directory below DATA/attempts, so a new executor on the same data
/// directory finds everything again. Only one executor may run on a data directory at a time (the server's own lock
/// sees to it).
/// Calls for one attempt are carried out in the order in which they were made.
package final class LocalExecutor: Executor {
  package struct Settings: Sendable {
    /// The server's data directory; attempts are kept in its `attempts`.
    package var dataDirectory: String
    /// The program with the commands `supervise` and `worker`; this program by default.
    package var mendBinary: String
    /// The address at which workers reach the server, MEND_ENDPOINT.
    package var endpoint: String
    /// The default time between SIGTERM and SIGKILL.
    package var grace: Duration = .seconds(10)
    /// How long after the grace the server waits before it ends the tree itself.
    package var endMargin: Duration = .seconds(2)
    /// The most bytes kept of an attempt's stdout, and of its stderr.
    package var logLimitBytes = 8 << 20
    /// The user that entrypoints run as; nil is the server's.
    package var account: AttemptAccount?
    /// The identity of the data directory; files and processes with another one are left alone.
    package var identity = ServerIdentity.none
    /// Says which batches exist. Files of others are removed; without it, none are.
    package var isKnown: (@Sendable (BatchKey) throws -> Bool)?
    /// The time between searches for files of no batch, which are removed if they were not written to for as long.
    package var unknownScanInterval: Duration = .seconds(600)
    /// Open files of a process, as the soft limit of those that run for jobs without a limit of their own; 0 leaves the
    /// server's.
    package var softOpenFilesLimit = 0
    /// The most idle supervisors kept for the next attempts; with 0, each attempt has a new one.
    package var waitingSupervisors = 32
    /// The time from the start until running attempts that nobody asked for are reported as strays.
    package var strayScanDelay: Duration = .seconds(10)
    /// The time between two searches for strays.
    package var strayScanInterval: Duration = .seconds(10)
    /// The server's environment, by default this process's; attempts get a few of its variables (``AttemptEnvironment``).
    package var environment: [String: String]
    package var logger: Logger

    package init(
      dataDirectory: String, mendBinary: String? = nil, endpoint: String,
      environment: [String: String]? = nil, logger: Logger
    ) {
      self.dataDirectory = dataDirectory
      self.mendBinary =
        mendBinary ?? (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "mend"
      self.endpoint = endpoint
      self.environment = environment ?? ProcessInfo.processInfo.environment
      self.logger = logger
    }
  }

  /// The reason why an executor cannot be set up.
  package struct SetupError: Error, Sendable, CustomStringConvertible {
    package var description: String
  }

  package let kind = ExecutorKind.local
  package static let traits = {
    var traits = ExecutorTraits()
    traits.title = "this machine"
    traits.measuredBy = .supervisor
    // A process starts in milliseconds.
    traits.shortestStartWindow = .seconds(120)
    return traits
  }()
  let settings: Settings
  /// An absolute path, as all that goes into an attempt's records.
  let mendBinary: String
  let attemptsDirectory: String
  /// The directory whose files are being deleted.
  let removedDirectory: String
  let node: String
  let baseEnvironment: [String: String]
  let watcher: Watcher
  let launcher: Launcher
  let supervisors: SupervisorPool
  let state = Mutex(State())
  /// Lanes for blocking work, in order for each attempt; their number limits the threads.
  private let lanes = (0..<4).map { DispatchQueue(label: "mend.executor.local.\($0)") }
  /// A work directory can hold anything, and no launch waits for its removal. It may wait for a lane, and no lane for it.
  let removals = DispatchQueue(label: "mend.executor.local.removals")
  let logQueue = DispatchQueue(label: "mend.executor.local.logs")
  private let watcherQueue = DispatchQueue(label: "mend.executor.local.watcher")
  private let work = DispatchGroup()

  struct State {
    enum Phase {
      /// `run` was not called yet; calls wait in `waiting`.
      case idle
      case running(@Sendable (Observation) -> Void)
      case stopped
    }
    var phase = Phase.idle
    var waiting: [(attempt: AttemptKey, operation: @Sendable () -> Void)] = []
    var attempts: [AttemptKey: Entry] = [:]
    /// Batches whose files are to be removed, each with a number.
    var forgotten: [BatchKey: UInt64] = [:]
    var lastGeneration: UInt64 = 0
    /// Attempts that could not be looked at, so that each is logged once.
    var unreached: Set<AttemptKey> = []
  }

  enum Entry {
    case watched(WatchedAttempt)
    /// Its supervisor is gone, and what it left is being ended. `ended` follows.
    case cleaning
    /// Its launch waits for resources. Nothing has been started.
    case waiting(message: String)
  }

  struct WatchedAttempt {
    /// Tells this watch's timers and events from those of an earlier watch of the attempt.
    var generation: UInt64
    var process: ProcessReference
    /// The link to a supervisor that works for this server; others are followed by their files and their end.
    var supervisor: PooledSupervisor?
    var startAnnounced = false
    /// Whether it has started is not known; a look is due.
    var looksForStart = false
    /// How it ended, where the disk had no room for that: kept here, for a server that has none cannot keep it either.
    var unkept: ExitAccount?
    var recordsWatch: Int32?
    var isAskedToEnd = false
    /// The last look, to measure the processor time since then.
    var lastLook: ProcessLook?
    /// The server killed the tree itself, because the supervisor did not.
    var forced: Set<ProcessIdentity> = []
    var isForced = false
  }

  package init(_ settings: Settings) throws(SetupError) {
    self.settings = settings
    let data = Self.absolute(settings.dataDirectory)
    mendBinary = Self.absolute(settings.mendBinary)
    attemptsDirectory = "\(data)/attempts"
    removedDirectory = "\(data)/removed"
    let name = (try? FileSystem.read("/proc/sys/kernel/hostname")) ?? Array("localhost".utf8)
    node = String(decoding: name.filter { $0 > 0x20 }, as: UTF8.self)
    baseEnvironment = AttemptEnvironment.base(of: settings.environment, mendBinary: mendBinary)
    do {
      _ = try FileSystem.createDirectory(data)
      if try FileSystem.createDirectory(attemptsDirectory) { FileSystem.spread(below: attemptsDirectory) }
      try FileSystem.synchronizeDirectory(data)
      if settings.account != nil { try Self.open(data, attemptsDirectory) }
      watcher = try Watcher()
      launcher = Launcher(
        program: mendBinary, dataDirectory: data, environment: baseEnvironment, watcher: watcher,
        logger: settings.logger)
      supervisors = SupervisorPool(launcher: launcher, watcher: watcher, limit: settings.waitingSupervisors)
    } catch {
      throw SetupError(description: "the local executor cannot be set up: \(error)")
    }
  }

  private static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
  }

  /// Runs the executor, once; a second call returns at once. After cancellation it does nothing any more, and attempts go
  /// on running.
  package func run(sink: @escaping @Sendable (Observation) -> Void) async {
    let isFirst = state.withLock { state in
      guard case .idle = state.phase else { return false }
      state.phase = .running(sink)
      // Before the lock is let go: a call that comes now must not overtake those that waited.
      for call in state.waiting { enqueue(for: call.attempt, call.operation) }
      state.waiting = []
      return true
    }
    guard isFirst else { return }
    enqueue(on: removals) {
      self.deleteTakenAway()
      self.removeUnknown()
    }
    watcher.after(settings.strayScanDelay) { [self] in enqueue(on: 0) { self.reportStrays() } }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        watcherQueue.async { [watcher] in
          watcher.run()
          continuation.resume()
        }
      }
    } onCancel: {
      watcher.stop()
    }
    state.withLock { $0.phase = .stopped }
    await withCheckedContinuation { continuation in
      work.notify(queue: watcherQueue) { [supervisors] in
        supervisors.end()
        continuation.resume()
      }
    }
    state.withLock { $0.attempts = [:] }
  }

  package func launch(
    _ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]
  ) {
    perform(for: attempt) { self.launchNow(attempt, launch, documents: documents, through: self.supervisors) }
  }

  package func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    perform(for: attempt) { self.adoptNow(attempt, handle, launch) }
  }

  package func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    perform(for: attempt) { self.endNow(attempt, grace: grace) }
  }

  package func endStray(_ attempt: AttemptKey, reference: String) {
    perform(for: attempt) { self.endStrayNow(attempt, reference: reference) }
  }

  package func look(at attempt: AttemptKey) { perform(for: attempt) { self.lookNow(at: attempt) } }

  /// Removes the files of a batch's ended attempts later. Returns at once.
  package func forget(_ batch: BatchKey) { forgetFiles(of: batch) }

  // MARK: lanes and news

  private func perform(for key: AttemptKey, _ operation: @escaping @Sendable () -> Void) {
    let isRunning = state.withLock { state in
      switch state.phase {
      case .idle:
        state.waiting.append((key, operation))
        return false
      case .running: return true
      case .stopped: return false
      }
    }
    if isRunning { enqueue(for: key, operation) }
  }

  func enqueue(for key: AttemptKey, _ operation: @escaping @Sendable () -> Void) {
    enqueue(on: lane(of: key), operation)
  }

  func lane(of key: AttemptKey) -> DispatchQueue { lanes[Int(UInt(bitPattern: key.hashValue) % UInt(lanes.count))] }

  func enqueue(on lane: Int, _ operation: @escaping @Sendable () -> Void) { enqueue(on: lanes[lane], operation) }

  func enqueue(on queue: DispatchQueue, _ operation: @escaping @Sendable () -> Void) {
    queue.async(group: work) { [self] in
      // Once stopped the next executor may be at work in the same directories.
      if state.withLock({ if case .running = $0.phase { true } else { false } }) { operation() }
    }
  }

  /// Runs the body later, in the attempt's lane.
  func perform(for key: AttemptKey, after delay: Duration, _ operation: @escaping @Sendable () -> Void) {
    watcher.after(delay) { self.enqueue(for: key, operation) }
  }

  func emit(_ observation: Observation) {
    let sink = state.withLock { state -> (@Sendable (Observation) -> Void)? in
      if case .running(let sink) = state.phase { sink } else { nil }
    }
    sink?(observation)
  }

  func directory(of key: AttemptKey) -> AttemptDirectory {
    AttemptDirectory(of: key, below: attemptsDirectory)
  }

  func handle(_ identity: ProcessIdentity) -> ExecutorHandle {
    ExecutorHandle(node: node, pid: Int64(identity.pid), reference: identity.reference)
  }
}
