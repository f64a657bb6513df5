import Logging
import MendCore
import MendRuntime
import MendStore

extension ServingProgram {
  /// What executors need to be set up.
  struct Surroundings {
    var directory: String
    var socket: String
    var identity: ServerIdentity
    var softOpenFilesLimit: Int
    var store: SQLiteStore
  }

  /// Whether this data directory may be changed, taking --adopt-copy into account.
  func standing(
    of directory: String, _ store: SQLiteStore, logger: Logger
  ) throws(StoreError) -> DataDirectoryStanding {
    let standing = try store.standing(of: directory)
    guard case .copy(let original) = standing else {
      if options.adoptCopy {
        logger.notice("--adopt-copy: this data directory is not a copy", metadata: ["data": "\(directory)"])
      }
      return standing
    }
    let place = original ?? "not known"
    guard options.adoptCopy else {
      logger.error(
        "this data directory is a copy; it is served read-only",
        metadata: [
          "data": "\(directory)", "original": "\(place)",
          "todo": "serve with --adopt-copy to make it a data directory of its own",
        ])
      return standing
    }
    let identity = try store.adoptCopy(in: directory)
    logger.notice(
      "this copy is a data directory of its own from now on; attempts that its journal calls running belong to the original",
      metadata: ["data": "\(directory)", "original": "\(place)"])
    return .own(identity)
  }

  static func refusal(of directory: String, _ original: String?) -> Refusal {
    let what = original.map { "a copy of \($0)" } ?? "a copy of another data directory"
    return .precondition(
      "the data directory \(directory) is \(what), whose server may be at work; nothing is changed or run here",
      todo: "serve it with --adopt-copy to make it a data directory of its own")
  }
}

extension ServingProgram {
  /// Where nothing can be added to the journal.
  static func refusal(damage: StoreError?, logger: Logger) -> Refusal {
    logger.error(
      "the journal can be read and not changed; what it has is served, and nothing is run or changed",
      metadata: [
        "error": "\(damage?.message ?? "")", "todo": "stop the server and run mend doctor --data DIR --rebuild",
      ])
    return .precondition(
      "the server's journal is damaged where it would have to be changed; what can be read is served, and nothing is changed or run",
      todo: "stop the server, and run mend doctor --data DIR --rebuild, or bring the journal back from a copy")
  }
}

/// Stands in for an executor on a data directory where nothing may run.
struct AbsentExecutor: Executor {
  let kind: ExecutorKind

  func run(sink: @escaping @Sendable (Observation) -> Void) async {}
  func launch(_ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]) {}
  func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {}
  func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {}
  func endStray(_ attempt: AttemptKey, reference: String) {}

  func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> { .failure(.gone) }
}
