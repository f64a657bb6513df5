public import MendCore

/// Where a process writes.
public enum LogStream: Sendable, Hashable, CaseIterable {
  case standardOutput
  case standardError
}

/// Bytes of what an attempt wrote.
public struct LogPiece: Sendable, Hashable {
  /// The place in the stream of the first byte; beyond the one asked for where a part is left out.
  public var offset: Int64
  /// Empty where the stream has no more for now.
  public var bytes: [UInt8]
  public init(offset: Int64, bytes: [UInt8]) {
    self.offset = offset
    self.bytes = bytes
  }
}

/// Why a log cannot be read.
public enum LogError: Error, Sendable, Hashable {
  /// This executor keeps none, or not this stream of it; why, and what to read instead, in words for people.
  case notKept(String)
  /// It was removed, or the attempt never began.
  case gone
  /// The executor cannot be asked now.
  case unreachable(String)
}

extension Executor {
  /// Most executors keep no logs.
  public func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    .failure(.notKept("the \(kind.rawValue) executor keeps no logs"))
  }
}

extension Runtime {
  /// What an attempt wrote, from a place in one of its streams on; asks the executor, not the writer.
  ///
  /// - Parameters:
  ///   - executor: the batch's own.
  ///   - handle: as the batch's view has it.
  ///   - limit: the most bytes of one piece.
  public func log(
    of attempt: AttemptKey, on executor: ExecutorKind, _ handle: ExecutorHandle?, _ stream: LogStream,
    from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    guard let executor = self.executor(executor) else {
      return .failure(.unreachable("this server was started without the \(executor.rawValue) executor"))
    }
    return await executor.log(of: attempt, handle, stream, from: max(0, offset), limit: max(1, limit))
  }
}
