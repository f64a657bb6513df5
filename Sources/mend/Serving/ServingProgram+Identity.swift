import Logging
import MendCore
import MendRuntime
import MendStore

extension ServingProgram {
  /// What executors are set up in.
  struct Surroundings {
    var directory: String
    var socket: String
    var identity: ServerIdentity
    var softOpenFilesLimit: Int
    var store: SQLiteStore
  }

  /// Whether this data directory may be worked in, once --adopt-copy had its say.
  func standing(
    of directory: String, _ store: SQLiteStore, logger: Logger
  ) throws(StoreError) -> DataDirectoryStanding {
    let standing = try store.standing(of: directory)
    guard case .copy(let original) = standing else {
      if options.adoptCopy {
        logger.notice("--adopt-copy: this data directory is no copy", metadata: ["data": "\(directory)"])
      }
      return standing
    }
    let place = original ?? "not known"
    guard options.adoptCopy else {
      logger.error(
        "this data directory is a copy; it can be looked at, nothing of it is run or changed",
        metadata: [
          "data": "\(directory)", "original": "\(place)",
          "todo": "serve with --adopt-copy to make it a data directory of its own",
        ])
      return standing
    }
    let identity = try store.adoptCopy(in: directory)
    logger.notice(
      "this copy of a data directory is one of its own from now on; what its journal calls running is the original's",
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

/// In the place of an executor where nothing may be run.
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
