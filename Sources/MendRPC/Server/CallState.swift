internal import MendHTTP2
internal import NIOCore

/// The state of one call of a server. It decides what happens next, without a session, a task or a clock;
/// ``ServerCall`` carries that out.
///
/// ```
///  HEADERS ── not a gRPC request ──> refusing ── request ended, or requestTimeout ──> over: 405 or 415
///     └─ gRPC ──> receiving ── not admitted · bad frame · too much · deadline · requestTimeout ──> over: status
///                    │  the method streams requests, or its one message is complete
///                    │  (a compressed message: once it is decompressed)
///                    v
///                 running: inline on the loop, or in a worker's task where the inline handler declined
///                    │  the response's headers are sent
///                    v
///                 answering
///
///  receiving, running, answering ── returned · threw · aborted · stream closed ──> over
///  over ── stream released, and nobody else holds the call ──> receiving, for the next call of the slot
/// ```
///
/// In `over` nothing more is sent, but the handler may still run: `failure` is what its reads and writes then throw.
struct CallState {
  enum Phase: Hashable {
    case refusing(NonGRPCRequest)
    case receiving, running, answering, over
  }

  /// The next action after a part of the request arrived.
  enum Action: Hashable {
    case nothing
    /// Read and forget what arrived.
    case drop
    /// Answer with an HTTP status.
    case refuse(NonGRPCRequest)
    /// Check the part of the message that arrived.
    case check
    /// Start the handler.
    case start
    /// Wake the handler's read.
    case wake
  }

  /// How a call ends that its handler has not ended.
  enum Ending: Hashable {
    case nothing
    /// Send the failure as the call's status.
    case sendStatus
    /// Reset the stream.
    case reset
    /// Answer with an HTTP status.
    case refuse(NonGRPCRequest)
    /// Record the failure; the caller cannot be told.
    case record
    /// The call is over already: only end what its handler waits for.
    case stop
  }

  /// How far the decompression of the request's first unread message is.
  enum Inflation {
    case none, waiting
    case done(Inflated)
  }

  /// A decompressed message, or the reason why it cannot be decompressed. Boxed: most calls have none.
  final class Inflated {
    let result: Result<[UInt8], RPCError>
    let compressedBytes: Int

    init(_ result: Result<[UInt8], RPCError>, compressedBytes: Int) {
      self.result = result
      self.compressedBytes = compressedBytes
    }
  }

  /// Boxed: a large optional costs every call that has none.
  final class Failure {
    let error: RPCError

    init(_ error: RPCError) {
      self.error = error
    }
  }

  let handle: StreamHandle
  let startedAt: NIODeadline
  private(set) var phase = Phase.receiving
  private(set) var route: Route?
  private(set) var deadline: NIODeadline?
  /// The encoding of the request's messages.
  private(set) var encoding = MessageEncoding.identity
  private(set) var acceptsGzip = false
  /// The caller has sent its whole request.
  private(set) var requestEnded = false
  /// Part of the request arrived since the handler's last read.
  private(set) var hasNews = false
  var inflation = Inflation.none
  /// Why the call ended before its handler did.
  private(set) var failure: Failure?
  var requestBytes = 0
  var responseBytes = 0
  /// Whether a reader or a writer has waited on this call. Calls without one have nobody to wake.
  var wasWaitedFor = false

  init(_ handle: StreamHandle, at now: NIODeadline) {
    self.handle = handle
    startedAt = now
  }

  var isOver: Bool { if case .over = phase { true } else { false } }

  /// Whether a handler that waits for the request has a reason to go on.
  var canRead: Bool {
    if failure != nil || hasNews { return true }
    guard requestEnded else { return false }
    return if case .waiting = inflation { false } else { true }
  }

  // MARK: The request

  /// The headers are not those of a gRPC call.
  mutating func opened(as request: NonGRPCRequest, endStream: Bool) -> Action {
    phase = .refusing(request)
    requestEnded = endStream
    return endStream ? .refuse(request) : .nothing
  }

  /// The call may begin.
  mutating func admitted(
    _ route: Route, _ encoding: MessageEncoding, acceptsGzip: Bool, deadline: NIODeadline?, endStream: Bool
  ) -> Action {
    self.route = route
    self.encoding = encoding
    self.acceptsGzip = acceptsGzip
    self.deadline = deadline
    requestEnded = endStream
    return endStream || !route.takesOneMessage ? .start : .nothing
  }

  /// Part of the request arrived, or its end.
  mutating func arrived(endStream: Bool) -> Action {
    if endStream { requestEnded = true }
    switch phase {
    case .over: return .nothing
    case .refusing(let request): return requestEnded ? .refuse(request) : .drop
    case .receiving: return endStream ? .start : .check
    case .running, .answering:
      hasNews = true
      return .wake
    }
  }

  /// The message that the handler needs was decompressed.
  mutating func inflated() -> Action {
    switch phase {
    case .receiving: return .start
    case .running, .answering:
      hasNews = true
      return .wake
    case .refusing, .over: return .nothing
    }
  }

  /// The handler read all that arrived, and waits for more.
  mutating func readAll() {
    hasNews = false
  }

  // MARK: The handler

  mutating func started() {
    phase = .running
  }

  /// The response's headers are sent.
  mutating func headSent() {
    phase = .answering
  }

  var isHeadSent: Bool { if case .answering = phase { true } else { false } }

  // MARK: The end

  /// When the request has to be complete; nil once it is.
  func requestDue(_ limit: TimeAmount) -> NIODeadline? {
    switch phase {
    case .refusing, .receiving: startedAt + limit
    case .running, .answering, .over: nil
    }
  }

  /// Something other than the handler ends the call.
  mutating func aborted(_ error: RPCError, unsentBytes: Int) -> Ending {
    switch phase {
    case .over: return .nothing
    case .refusing(let request): return .refuse(request)
    case .receiving, .running, .answering: break
    }
    failure = Failure(error)
    // A status would have to wait behind what the caller does not read.
    return isHeadSent && unsentBytes > 0 ? .reset : .sendStatus
  }

  /// The stream is gone. `isHandled`: a task runs the handler.
  func streamClosed(isHandled: Bool) -> Ending {
    guard isOver else { return .record }
    return isHandled || wasWaitedFor ? .stop : .nothing
  }

  /// The handler's reads and writes throw this from now on, unless they already throw something.
  mutating func failed(_ error: RPCError) {
    if failure == nil { failure = Failure(error) }
  }

  /// The status was sent, or never will be.
  mutating func ended() {
    phase = .over
    // The call is kept for the slot's next one; a large message is not.
    if encoding != .identity { inflation = .none }
  }
}
