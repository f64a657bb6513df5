package import MendCore

/// A stream that a process writes to.
package enum LogStream: Sendable, Hashable, CaseIterable {
  case standardOutput
  case standardError
}

/// Bytes of what an attempt wrote.
package struct LogPiece: Sendable, Hashable {
  /// The offset of the first byte in the stream; higher than asked for if a part was left out.
  package var offset: Int64
  /// Empty if the stream has no more for now.
  package var bytes: [UInt8]
  package init(offset: Int64, bytes: [UInt8]) {
    self.offset = offset
    self.bytes = bytes
  }
}

/// Why a log cannot be read.
package enum LogError: Error, Sendable, Hashable {
  /// This executor keeps no logs, or not this stream; the reason, and what to read instead, for people.
  case notKept(String)
  /// It was removed, or the attempt never began.
  case gone
  /// The executor cannot be asked now.
  case unreachable(String)
}

extension Executor {
  /// Most executors keep no logs.
  package func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    .failure(.notKept("the \(kind.rawValue) executor keeps no logs"))
  }
}

extension Runtime {
  /// Reads what an attempt wrote to a stream, from an offset on. Asks the executor, not the writer.
  ///
  /// - Parameters:
  ///   - executor: the batch's own.
  ///   - handle: as the batch's view has it.
  ///   - limit: the most bytes of one piece.
  package func log(
    of attempt: AttemptKey, on executor: ExecutorKind, _ handle: ExecutorHandle?, _ stream: LogStream,
    from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    guard let executor = self.executor(executor) else {
      return .failure(.unreachable("this server was started without the \(executor.rawValue) executor"))
    }
    return await executor.log(of: attempt, handle, stream, from: max(0, offset), limit: max(1, limit))
  }
}
