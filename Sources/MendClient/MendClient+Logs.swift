public import MendAPI
internal import MendRPC

extension MendClient {
  /// Reads what a batch's attempts wrote, piece by piece. With `request.follow` it continues with new output until the
  /// jobs asked for are over.
  public func logs(_ request: ReadLogsRequest) -> AttemptLogs { AttemptLogs(client: self, request: request) }
}

/// Pieces of logs. The pieces of one log come in order. A stream that breaks off resumes after the last piece.
public struct AttemptLogs: AsyncSequence, Sendable {
  public typealias Element = ReadLogsResponse
  public typealias Failure = MendError

  let client: MendClient
  let request: ReadLogsRequest

  public func makeAsyncIterator() -> Iterator { Iterator(client: client, request: request) }

  public struct Iterator: AsyncIteratorProtocol {
    public typealias Element = ReadLogsResponse
    public typealias Failure = MendError

    private let client: MendClient
    private var request: ReadLogsRequest
    private var stream: ResponseStream<ReadLogsResponse>.AsyncIterator?
    private var reconnection: Reconnection
    private var isFinished = false

    init(client: MendClient, request: ReadLogsRequest) {
      self.client = client
      self.request = request
      self.reconnection = Reconnection(client.settings.limits)
    }

    public mutating func next() async throws(MendError) -> ReadLogsResponse? { try await next(isolation: nil) }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(MendError) -> ReadLogsResponse? {
      while !isFinished {
        do throws(MendError) {
          let piece = try await receive()
          isFinished = piece == nil
          return piece
        } catch {
          stream = nil
          try await reconnection.wait(after: error, for: client)
        }
      }
      return nil
    }

    private mutating func receive() async throws(MendError) -> ReadLogsResponse? {
      do throws(RPCError) {
        if stream == nil {
          reconnection.opened()
          stream = try await BatchesClient(client.pool)
            .readLogs(request, options: client.options(timeout: nil)).makeAsyncIterator()
        }
        guard let piece = try await stream?.next(isolation: nil) else { return nil }
        // A piece that came before does not count as progress.
        if advance(behind: piece) { reconnection.succeeded() }
        return piece
      } catch {
        throw MendError(error)
      }
    }

    /// Returns whether the piece contains anything new.
    private mutating func advance(behind piece: ReadLogsResponse) -> Bool {
      var position = LogPosition()
      position.jobID = piece.jobID
      position.attempt = piece.attempt
      position.stream = piece.stream
      position.offset = piece.offset + Int64(piece.data.count)
      let known = request.positions.firstIndex {
        $0.jobID == piece.jobID && $0.attempt == piece.attempt && $0.stream == piece.stream
      }
      guard let known else {
        request.positions.append(position)
        return true
      }
      defer { request.positions[known] = position }
      return position.offset > request.positions[known].offset
    }
  }
}
