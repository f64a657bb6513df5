public import MendCore
public import MendRuntime

extension RayExecutor {
  /// Ray keeps a job's two streams as one, which is handed out as standard output, and gives it whole each time: a log
  /// longer than the longest answer that is taken is not to be had.
  public func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    guard stream == .standardOutput else { return .failure(.notKept) }
    do throws(RayError) {
      guard let text = try await jobs.logs(handle?.reference ?? RaySubmissionID.make(attempt)) else {
        return .failure(.gone)
      }
      let start = min(max(0, Int(clamping: offset)), text.utf8.count)
      return .success(LogPiece(offset: Int64(start), bytes: Array(text.utf8.dropFirst(start).prefix(limit))))
    } catch {
      return .failure(.unreachable("\(error)"))
    }
  }
}
