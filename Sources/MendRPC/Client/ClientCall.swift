internal import MendHTTP2
internal import NIOCore

/// One call on a client: queued, open, then ended once with a status.
///
/// Writers of requests and readers of responses see the same end: `outcome`.
final class ClientCall: @unchecked Sendable {
  // Unchecked: the constants are Sendable; everything else is used on the connection's loop alone, and other threads
  // hop there first.
  let connection: ClientHandler
  let loop: any EventLoop
  let method: MethodDescriptor
  let headers: HeaderBlock
  let options: CallOptions
  let deadline: NIODeadline?
  /// The only request, framed; nil where requests are streamed.
  let onlyRequest: [UInt8]?
  /// The pool's lease of the connection for this call; nil without a pool.
  private let lease: PoolLease?
  let requestPolicy: CompressionPolicy
  private let takesOneResponse: Bool
  private let maxResponseBytes: Int

  var isStarted = false
  /// Set only for calls with a deadline.
  var openedAt = NIODeadline.uptimeNanoseconds(0)
  var handle: StreamHandle?
  private(set) var outcome: Result<Void, RPCError>?
  private var initial = Metadata()
  private var trailing = Metadata()
  var sawHeaders = false
  private var encoding = MessageEncoding.identity
  private var requestEnded = false

  var completion: CheckedContinuation<Result<ReceivedPayload, RPCError>, Never>?
  private var payload: ReceivedPayload?
  var arrivals = 0
  var arrivalsSeen = 0
  /// Payloads of a stream that ended, kept for its reader after the stream's memory was given back.
  private var leftOver: [ReceivedPayload] = []
  var reader: CheckedContinuation<Void, Never>?
  var writers: [CheckedContinuation<Void, Never>] = []
  var starter: CheckedContinuation<Void, Never>?

  init(
    _ connection: ClientHandler, _ method: MethodDescriptor, _ options: CallOptions, headers: HeaderBlock,
    onlyRequest: [UInt8]?, deadline: NIODeadline?, lease: PoolLease?
  ) {
    self.connection = connection
    self.method = method
    self.options = options
    self.headers = headers
    self.onlyRequest = onlyRequest
    loop = connection.loop
    self.deadline = deadline
    self.lease = lease
    requestPolicy = options.compression ?? connection.configuration.compression
    takesOneResponse = method.shape == .unary || method.shape == .clientStreaming
    maxResponseBytes = options.maxResponseBytes ?? connection.configuration.limits.maxResponseBytes
  }

  /// The stream is open: requests may be written.
  func opened() {
    starter?.resume()
    starter = nil
  }

  func writeFrame(_ frame: [UInt8]) -> Result<Bool, RPCError> {
    if let outcome {
      return .failure(
        { if case .failure(let error) = outcome { error } else { RPCError(.cancelled, "the call has ended") } }())
    }
    guard let handle, !requestEnded else {
      return .failure(RPCError(.failedPrecondition, "the request stream has ended"))
    }
    let pending = connection.session.write(handle) { $0.append(contentsOf: frame) }
    connection.scheduleFlush()
    let high = connection.configuration.limits.requestHighWaterBytes
    guard pending >= high else { return .success(true) }
    connection.session.notifyWhenDrained(handle, to: high / 2)
    return .success(false)
  }

  func finishRequests() {
    guard outcome == nil, !requestEnded, let handle else { return }
    requestEnded = true
    connection.session.finish(handle)
    connection.scheduleFlush()
  }

  func drained() {
    let waiting = writers
    writers = []
    for continuation in waiting { continuation.resume() }
  }

  func received(headers block: HeaderBlock, endStream: Bool) {
    sawHeaders = true
    guard endStream else {
      do throws(RPCError) {
        encoding = try ResponseHead.check(block)
        initial = try Metadata(receiving: block)
      } catch {
        fail(error)
      }
      return
    }
    // A response of trailers only.
    if block.first("grpc-status") == nil, let error = ResponseHead.httpError(block) {
      end(.failure(error))
    } else {
      received(trailers: block)
    }
  }

  func received(trailers block: HeaderBlock) {
    let status = ResponseHead.status(block)
    if let metadata = try? Metadata(receiving: block) { trailing = metadata }
    end(status)
  }

  func receivedData() {
    guard outcome == nil, let handle else { return }
    let session = connection.session
    guard takesOneResponse else {
      arrivals += 1
      wakeReader()
      return
    }
    // A message that is too large is refused before all of it arrives.
    do throws(RPCError) {
      try session.withReceived(handle) { bytes throws(RPCError) in
        _ = try MessageFraming.scan(bytes, limit: maxResponseBytes, encoding: encoding, who: "the response")
        guard bytes.byteCount <= maxResponseBytes + MessageFraming.prefixBytes else {
          throw RPCError(.internal, "the response continues after its message; this method has one")
        }
        return 0
      }
      session.giveCredit(handle, keeping: 0)
    } catch {
      fail(error)
    }
  }

  private func wakeReader() {
    reader?.resume()
    reader = nil
  }

  func takePayloads() -> Result<Next, RPCError> {
    if !leftOver.isEmpty {
      defer { leftOver = [] }
      return .success(.payloads(leftOver))
    }
    if let outcome { return outcome.map { .end } }
    guard let handle else { return .success(.wait) }
    let (payloads, fault) = unreadPayloads(handle)
    if payloads.isEmpty, let fault {
      fail(fault)
      return .failure(fault)
    }
    let session = connection.session
    session.giveCredit(handle, keeping: payloads.isEmpty ? 0 : session.unreadCount(of: handle))
    connection.scheduleFlush()
    // The bytes after a whole message are read when that message is taken.
    if fault == nil { arrivalsSeen = arrivals }
    return .success(payloads.isEmpty ? .wait : .payloads(payloads))
  }

  /// All complete messages that arrived, and the fault of the bytes behind them, if there is one.
  private func unreadPayloads(_ handle: StreamHandle) -> ([ReceivedPayload], RPCError?) {
    var payloads: [ReceivedPayload] = []
    var fault: RPCError?
    connection.session.withReceived(handle) { bytes in
      var taken = 0
      while taken < bytes.byteCount {
        let rest = bytes.extracting(taken..<bytes.byteCount)
        let who = "a response message"
        do throws(RPCError) {
          switch try MessageFraming.scan(rest, limit: maxResponseBytes, encoding: encoding, who: who) {
          case .incomplete:
            return taken
          case .payload(let range):
            payloads.append(
              ReceivedPayload(bytes: Array(copying: rest.extracting(range)), isGzip: false, limit: maxResponseBytes))
            taken += range.upperBound
          case .gzip(let range):
            payloads.append(
              ReceivedPayload(bytes: Array(copying: rest.extracting(range)), isGzip: true, limit: maxResponseBytes))
            taken += range.upperBound
          }
        } catch {
          fault = error
          return taken
        }
      }
      return taken
    }
    return (payloads, fault)
  }

  /// The stream is closed; `code` is the code of its reset, or NO_ERROR.
  func streamClosed(_ code: HTTP2ErrorCode) {
    if outcome == nil { end(.failure(error(of: code))) }
    handle = nil
  }

  private func error(of code: HTTP2ErrorCode) -> RPCError {
    if let handle, connection.session.refusedHeaderList(of: handle) { return metadataTooLarge }
    // A stream above a GOAWAY's last ends as if it had been refused.
    if code == .refusedStream, case .draining(let error) = connection.phase { return error }
    // The server may notice the deadline first.
    if code == .cancel, let deadline, deadline <= .now() { return deadlineError }
    return ResponseHead.error(code)
  }

  func deadlinePassed() {
    let wasOpen = handle != nil
    fail(deadlineError)
    if wasOpen { connection.nothingCame(since: openedAt) }
  }

  private var deadlineError: RPCError {
    RPCError(.deadlineExceeded, "no answer from \(connection.address) within \(options.timeout ?? .zero)")
  }

  func failForMemory() {
    let limit = connection.configuration.limits.maxBufferedResponseBytes
    fail(
      RPCError(
        .resourceExhausted,
        "more than \(limit) bytes of responses wait on the connection to \(connection.address); ask for fewer at once"))
  }

  /// Ends the call here, and the stream at the server.
  func fail(_ error: RPCError) {
    guard outcome == nil else { return }
    end(.failure(error))
  }

  private func end(_ status: Result<Void, RPCError>) {
    guard outcome == nil else { return }
    var status = status
    if let handle {
      let (payloads, fault) = unreadPayloads(handle)
      payload = payloads.first
      if !takesOneResponse { leftOver = payloads }
      if case .success = status, let fault = fault ?? incompleteness(payloads, handle) { status = .failure(fault) }
      // No effect if the stream has ended in both directions.
      connection.session.reset(handle, .cancel)
      connection.scheduleFlush()
    }
    outcome = status
    connection.ended(self)
    lease?.end()
    options.onMetadata?(initial, trailing)
    opened()
    wakeReader()
    drained()
    completion?.resume(returning: status.flatMap { onlyPayload() })
    completion = nil
  }

  /// Why the messages of a call that ended with OK are not complete; nil if they are.
  private func incompleteness(_ payloads: [ReceivedPayload], _ handle: StreamHandle) -> RPCError? {
    let cut = connection.session.unreadCount(of: handle)
    if cut > 0 {
      return RPCError(.internal, "the response was cut short: its stream ended \(cut) bytes into a message")
    }
    guard takesOneResponse, payloads.count != 1 else { return nil }
    return RPCError(.internal, "the server answered OK with \(payloads.count) messages instead of one")
  }

  private var metadataTooLarge: RPCError {
    let limit = connection.configuration.limits.maxMetadataBytes
    return RPCError(.resourceExhausted, "the response's metadata has more than the \(limit) bytes that are taken")
  }

  func onlyPayload() -> Result<ReceivedPayload, RPCError> {
    payload.map { .success($0) } ?? .failure(RPCError(.internal, "the server answered OK without a message"))
  }
}
