internal import MendHTTP2
internal import NIOCore

/// Makes the calls to one server: their headers, and the frames of their messages.
struct CallTemplate: Sendable {
  private let configuration: ClientConfiguration
  private let fixedHeaders: HeaderBlock

  init(_ address: ServerAddress, _ configuration: ClientConfiguration) {
    self.configuration = configuration
    var block = HeaderBlock()
    block.append(":method", "POST")
    block.append(":scheme", configuration.tls == nil ? "http" : "https")
    switch address {
    case .tcp: block.append(":authority", configuration.tls?.serverName ?? address.description)
    case .unix: block.append(":authority", "localhost")
    }
    fixedHeaders = block
  }

  /// The deadline of a call that begins now: its own, or that of the call in whose handler it is made, if that is
  /// earlier.
  static func deadline(_ options: CallOptions) -> NIODeadline? {
    guard let outer = CallDeadline.current else { return options.timeout.map { .now() + TimeAmount($0) } }
    let left = outer - .now
    return .now() + TimeAmount(options.timeout.map { min($0, left) } ?? left)
  }

  func call(
    over connection: ClientHandler, _ method: MethodDescriptor, _ options: CallOptions, _ onlyRequest: [UInt8]?,
    deadline: NIODeadline?, lease: PoolLease?
  ) -> ClientCall {
    var headers = fixedHeaders
    headers.append(":path", method.path)
    headers.append("te", "trailers")
    headers.append("content-type", "application/grpc")
    if configuration.acceptsGzip { headers.append("grpc-accept-encoding", MessageEncoding.accepted) }
    if policy(options).encoding == .gzip { headers.append("grpc-encoding", "gzip") }
    if options.metadata["user-agent"] == nil { headers.append("user-agent", configuration.userAgent) }
    if options.previousAttempts > 0 { headers.append("grpc-previous-rpc-attempts", String(options.previousAttempts)) }
    options.metadata.append(to: &headers)
    return ClientCall(
      connection, method, options, headers: headers, onlyRequest: onlyRequest, deadline: deadline, lease: lease)
  }

  /// A message with its prefix.
  func frame(_ message: some RPCMessage, _ options: CallOptions) throws(RPCError) -> [UInt8] {
    var frame: [UInt8] = []
    MessageFraming.append(to: &frame, as: policy(options)) { message.encodePayload(into: &$0) }
    try Self.check(frame, configuration.limits)
    return frame
  }

  private func policy(_ options: CallOptions) -> CompressionPolicy {
    options.compression ?? configuration.compression
  }

  static func check(_ frame: [UInt8], _ limits: ClientLimits) throws(RPCError) {
    let size = frame.count - MessageFraming.prefixBytes
    guard size <= limits.maxRequestBytes else {
      throw .notBegun(
        "the request has \(size) bytes; at most \(limits.maxRequestBytes) are sent", .resourceExhausted, origin: .local)
    }
  }

  static func decode<O: RPCMessage>(_ payload: ReceivedPayload) throws(RPCError) -> O {
    let bytes = try payload.plain("the response")
    do {
      return try O.decode(payload: bytes.span.bytes)
    } catch {
      throw RPCError(.internal, "the response is not a \(O.self): \(error.message)")
    }
  }
}
