internal import Dispatch
package import MendCore
package import MendRuntime

extension LocalExecutor {
  package func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    let directory = directory(of: attempt)
    let log = AttemptLog(path: stream == .standardOutput ? directory.standardOutput : directory.standardError)
    // Files are read one at a time, away from the threads that carry calls.
    return await withCheckedContinuation { continuation in
      logQueue.async {
        continuation.resume(returning: log.piece(from: offset, limit: limit).map { .success($0) } ?? .failure(.gone))
      }
    }
  }
}
