package import MendCore
package import MendRuntime

extension RayExecutor {
  /// Ray keeps a job's two streams as one, which is handed out as standard output. Of a long one its newest part is
  /// handed out, and `offset` says what is left out before it.
  package func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    guard stream == .standardOutput else {
      return .failure(
        .notKept(
          "Ray keeps what a job writes to stdout and to stderr as one log; it is read as stdout (--stream stdout)"))
    }
    let id = handle?.reference ?? RaySubmissionID.make(attempt)
    do throws(RayError) {
      let piece = try await logs.piece(
        of: id, from: max(0, offset), limit: limit, isGrowing: isWatched(id)
      ) { id, count throws(RayError) in try await self.jobs.log(id, keepingEnd: count, lines: nil) }
      if let piece { return .success(piece) }
      // Before the driver's first byte there is no file either.
      return .failure(isWatched(id) ? .gone : .notKept("Ray has no log of its job \(id), or no longer has it"))
    } catch {
      return .failure(.unreachable("Ray: \(error)"))
    }
  }
}
