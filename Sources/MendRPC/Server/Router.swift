/// Which handler answers which method.
///
/// Handlers run on their connection's event loop: they must not block. One that waits suspends; one that computes for
/// long moves to another executor (`@concurrent`). Registering a method again replaces its handler.
public struct Router: Sendable {
  private var routes: [String: Route] = [:]

  public init() {}

  /// The methods that have a handler, ordered by service and name.
  public var methods: [MethodDescriptor] {
    routes.values.map(\.method).sorted { ($0.service, $0.method) < ($1.service, $1.method) }
  }

  public mutating func register(_ service: some RPCService) {
    service.register(with: &self)
  }

  /// Answers each request with one response. The handler's task is cancelled when the caller gives up.
  public mutating func unary<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (I, ServerContext) async throws(RPCError) -> O
  ) {
    add(method, Self.run(handler))
  }

  /// Answers inline on the connection's loop: for handlers that never wait. Request payload in, response payload
  /// appended; what was appended is dropped when the handler throws.
  public mutating func inlineUnary(
    _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (RawSpan, ServerContext, inout [UInt8]) throws(RPCError) -> Void
  ) {
    routes[method.path] = Route(
      method,
      .inline { payload, context, response throws(RPCError) in
        try handler(payload, context, &response)
        return .answered
      })
  }

  /// Answers inline where the handler can, for methods that seldom have to wait. A call that it declines is answered by
  /// `otherwise`, which may wait; what the declined call appended is dropped.
  public mutating func inlineUnary<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (RawSpan, ServerContext, inout [UInt8]) throws(RPCError) -> InlineOutcome,
    otherwise: @escaping @Sendable (I, ServerContext) async throws(RPCError) -> O
  ) {
    routes[method.path] = Route(method, .inline(handler), waiting: Self.run(otherwise))
  }

  private static func run<I: RPCMessage, O: RPCMessage>(
    _ handler: @escaping @Sendable (I, ServerContext) async throws(RPCError) -> O
  ) -> Route.Run {
    { call async throws(RPCError) in
      let request = try call.takeOnlyMessage(I.self)
      try call.writeOnly(try await handler(request, call.context))
    }
  }

  /// Answers each request with a stream of responses, which ends when the handler returns or throws.
  public mutating func serverStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (I, ResponseWriter<O>, ServerContext) async throws(RPCError) -> Void
  ) {
    add(method) { call async throws(RPCError) in
      let request = try call.takeOnlyMessage(I.self)
      try await handler(request, ResponseWriter(call: call), call.context)
    }
  }

  /// Answers a stream of requests with one response. The handler may return before the stream ended.
  public mutating func clientStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (RequestStream<I>, ServerContext) async throws(RPCError) -> O
  ) {
    add(method) { call async throws(RPCError) in
      try call.writeOnly(try await handler(RequestStream(call: call), call.context))
    }
  }

  /// Requests and responses in any order, until the handler returns or throws.
  public mutating func bidirectional<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (RequestStream<I>, ResponseWriter<O>, ServerContext) async throws(RPCError) -> Void
  ) {
    add(method) { call async throws(RPCError) in
      try await handler(RequestStream(call: call), ResponseWriter(call: call), call.context)
    }
  }

  private mutating func add(_ method: MethodDescriptor, _ run: @escaping Route.Run) {
    routes[method.path] = Route(method, .task(run))
  }

  func table() -> RouteTable {
    return RouteTable(
      methods.enumerated().compactMap { ordinal, method in
        routes[method.path].map { Route(method, $0.handler, waiting: $0.waiting, ordinal: ordinal) }
      })
  }
}

/// Whether an inline handler answered a call.
public enum InlineOutcome: Sendable, Hashable {
  case answered
  /// The answer has to wait: nothing is sent, and the handler that may wait is called.
  case declined
}

/// A service's implementation.
public protocol RPCService: Sendable {
  static var descriptor: ServiceDescriptor { get }
  func register(with router: inout Router)
}

final class Route: MethodFacts, @unchecked Sendable {
  // Unchecked: as its superclass, it has only constants.
  typealias Inline = @Sendable (RawSpan, ServerContext, inout [UInt8]) throws(RPCError) -> InlineOutcome
  typealias Run = @Sendable (ServerCall) async throws(RPCError) -> Void

  enum Handler: Sendable {
    case inline(Inline)
    case task(Run)
  }

  let handler: Handler
  /// The handler of calls that the inline handler declines.
  let waiting: Run?
  /// The handler that runs in a task.
  var run: Run? {
    switch handler {
    case .task(let run): run
    case .inline: waiting
    }
  }

  /// Whether the request is one message; the handler starts when that is complete.
  let takesOneMessage: Bool

  /// The method's index in `Router.methods`, set when the table is made.
  let ordinal: Int
  let pathCount: Int

  init(_ method: MethodDescriptor, _ handler: Handler, waiting: Run? = nil, ordinal: Int = 0) {
    pathCount = method.path.utf8.count
    self.handler = handler
    self.waiting = waiting
    self.ordinal = ordinal
    takesOneMessage = method.shape == .unary || method.shape == .serverStreaming
    super.init(method)
  }
}

/// Finds a route by the bytes of its path, without making a string of them: a fifth of a dictionary's cost.
struct RouteTable: Sendable {
  /// Routes by hash slot. The path of a slot begins at `starts[slot]` in `paths`.
  private let routes: [Route?]
  private let starts: [Int]
  private let paths: [UInt8]
  private let mask: Int
  private let services: Set<String>

  init(_ routes: [Route]) {
    var size = 16
    while size < routes.count * 4 { size *= 2 }
    var slots = [Route?](repeating: nil, count: size)
    var starts = [Int](repeating: 0, count: size)
    var paths: [UInt8] = []
    for route in routes {
      let path = Array(route.method.path.utf8)
      var index = Self.hash(path, 0..<path.count) & (size - 1)
      while slots[index] != nil { index = (index + 1) & (size - 1) }
      slots[index] = route
      starts[index] = paths.count
      paths += path
    }
    self.routes = slots
    self.starts = starts
    self.paths = paths
    mask = size - 1
    services = Set(routes.map(\.method.service))
  }

  func route(_ bytes: [UInt8], _ range: Range<Int>) -> Route? {
    var index = Self.hash(bytes, range) & mask
    while let route = routes[index] {
      if route.pathCount == range.count, isEqual(starts[index], bytes, range) { return route }
      index = (index + 1) & mask
    }
    return nil
  }

  /// The error for an unknown path: it names the path's form, its service or its method, and quotes 200 characters of
  /// it at most.
  func unknown(_ path: String) -> RPCError {
    let path = path.count > 200 ? path.prefix(200) + "..." : path[...]
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].isEmpty, !parts[1].isEmpty, !parts[2].isEmpty else {
      return RPCError(.unimplemented, "path \(path) is not of the form /service/method")
    }
    return services.contains(String(parts[1]))
      ? RPCError(.unimplemented, "service \(parts[1]) has no method \(parts[2])")
      : RPCError(.unimplemented, "no service \(parts[1])")
  }

  private func isEqual(_ start: Int, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    let other = bytes.span.extracting(range).bytes
    let path = paths.span.extracting(start..<(start &+ range.count)).bytes
    // Eight at a time: paths are long.
    var index = 0
    while index &+ 8 <= path.byteCount {
      if path.word(at: index) != other.word(at: index) { return false }
      index &+= 8
    }
    while index < path.byteCount {
      if path.byte(at: index) != other.byte(at: index) { return false }
      index &+= 1
    }
    return true
  }

  /// Hashes the length and the end of a path, which differ more than its start.
  private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
    let path = bytes.span.extracting(range).bytes
    let count = path.byteCount
    var hash = UInt64(count)
    if count >= 16 {
      hash = (hash ^ path.word(at: count &- 16)) &* 0x9e37_79b9_7f4a_7c15
      hash = (hash ^ path.word(at: count &- 8)) &* 0x9e37_79b9_7f4a_7c15
    } else {
      for index in 0..<count { hash = (hash ^ UInt64(path.byte(at: index))) &* 0x100_0000_01b3 }
    }
    return Int(truncatingIfNeeded: (hash >> 20) & 0x7fff_ffff)
  }
}

extension RawSpan {
  @inline(__always)
  fileprivate func word(at offset: Int) -> UInt64 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  @inline(__always)
  fileprivate func byte(at offset: Int) -> UInt8 {
    unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }
}
