public import MendAPI
internal import MendRPC

extension MendClient {
  /// Follows a batch: a snapshot, then deltas, then one message with `terminal` set, after which the sequence ends.
  ///
  /// - Parameter afterSequence: the sequence of the last message seen; 0 starts with a snapshot.
  /// - Parameter minimumInterval: seconds between two messages that carry only counts; nil uses the server's default, 0.2.
  /// - Parameter onInterruption: called each time that the watch breaks off, with the reason, before it resumes.
  public func watch(
    _ batchID: String, afterSequence: UInt64 = 0, minimumInterval: Double? = nil,
    onInterruption: (@Sendable (MendError) -> Void)? = nil
  ) -> BatchWatch {
    var request = WatchProgressRequest()
    request.batchID = batchID
    request.afterSequence = afterSequence
    request.minIntervalSeconds = minimumInterval
    return BatchWatch(client: self, request: request, onInterruption: onInterruption)
  }
}

/// A batch's messages in order, without gap or repeat. A stream that breaks off resumes after the last message. The
/// sequence ends only after the terminal message; otherwise it throws.
public struct BatchWatch: AsyncSequence, Sendable {
  public typealias Element = WatchProgressResponse
  public typealias Failure = MendError

  let client: MendClient
  let request: WatchProgressRequest
  let onInterruption: (@Sendable (MendError) -> Void)?

  public func makeAsyncIterator() -> Iterator {
    Iterator(client: client, request: request, onInterruption: onInterruption)
  }

  public struct Iterator: AsyncIteratorProtocol {
    public typealias Element = WatchProgressResponse
    public typealias Failure = MendError

    private let client: MendClient
    private var request: WatchProgressRequest
    private var stream: ResponseStream<WatchProgressResponse>.AsyncIterator?
    private var reconnection: Reconnection
    private var hasSeenMessage = false
    private var isFinished = false
    private let onInterruption: (@Sendable (MendError) -> Void)?

    init(
      client: MendClient, request: WatchProgressRequest, onInterruption: (@Sendable (MendError) -> Void)? = nil
    ) {
      self.onInterruption = onInterruption
      self.client = client
      self.request = request
      self.reconnection = Reconnection(client.settings.limits)
    }

    public mutating func next() async throws(MendError) -> WatchProgressResponse? {
      try await next(isolation: nil)
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(MendError) -> WatchProgressResponse?
    {
      while !isFinished {
        do throws(MendError) {
          if let message = try await receive() { return message }
        } catch {
          stream = nil
          if hasSeenMessage, error.isRetryable { onInterruption?(error) }
          try await reconnection.wait(after: error, for: client)
        }
      }
      return nil
    }

    /// The next new message; nil means that the caller should ask again.
    private mutating func receive() async throws(MendError) -> WatchProgressResponse? {
      if stream == nil { try await open() }
      let received: WatchProgressResponse?
      do throws(RPCError) {
        received = try await stream?.next(isolation: nil)
      } catch {
        throw MendError(error)
      }
      guard let message = received else {
        throw MendError(.unavailable, "the watch ended before the batch did")
      }
      // A server resumes after after_sequence. If one repeats a message, it is not passed on twice and does not count
      // as progress. A change by time alone has the sequence of the message before.
      let isNew = !hasSeenMessage || message.sequence > request.afterSequence || message.terminal
      let isByTime = message.sequence == request.afterSequence && message.previousSequence == message.sequence
      guard isNew || isByTime else { return nil }
      if isNew { reconnection.succeeded() }
      hasSeenMessage = true
      request.afterSequence = message.sequence
      isFinished = message.terminal
      if isFinished { stream = nil }
      return message
    }

    private mutating func open() async throws(MendError) {
      reconnection.opened()
      do throws(RPCError) {
        stream = try await BatchesClient(client.pool)
          .watchProgress(request, options: client.options(timeout: nil)).makeAsyncIterator()
      } catch {
        throw MendError(error)
      }
    }
  }
}
