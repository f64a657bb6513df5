import Foundation
import MendRPC
import Synchronization
import TestSupport
import Testing

/// The methods that the tests' servers answer.
enum Methods {
  static func method(_ name: String, _ shape: CallShape) -> MethodDescriptor {
    MethodDescriptor(service: "test.Service", method: name, shape: shape)
  }

  static let echo = method("Echo", .unary)
  static let inlineEcho = method("InlineEcho", .unary)
  static let inlineOrNot = method("InlineOrNot", .unary)
  static let fail = method("Fail", .unary)
  static let wait = method("Wait", .unary)
  static let count = method("Count", .serverStreaming)
  static let sum = method("Sum", .clientStreaming)
  static let chat = method("Chat", .bidirectional)
  static let firstOnly = method("FirstOnly", .clientStreaming)
}

/// What the handlers of one test saw.
final class Witness: Sendable {
  let written = Mutex(0)
  let waiting = Mutex(0)
  let cancelled = Mutex(0)
  let isReleased = Mutex(false)
  /// Of the calls that waited.
  let deadlines = Mutex<[ContinuousClock.Instant?]>([])

  func waitUntilReleasedOrCancelled() async throws(RPCError) {
    waiting.withLock { $0 += 1 }
    let deadline = ContinuousClock.now + .seconds(60)
    while !isReleased.withLock({ $0 }) {
      guard ContinuousClock.now < deadline else {
        throw RPCError(.deadlineExceeded, "neither released nor cancelled within 60 s")
      }
      if Task.isCancelled {
        cancelled.withLock { $0 += 1 }
        throw RPCError(.cancelled, "the handler was cancelled")
      }
      await Task.yield()
    }
  }
}

func makeRouter(_ witness: Witness) -> Router {
  var router = Router()
  router.inlineUnary(Methods.inlineEcho) { (payload, _, out) throws(RPCError) in
    out += payload.withUnsafeBytes { Array($0) }
  }
  router.inlineUnary(
    Methods.inlineOrNot,
    { payload, _, out throws(RPCError) in
      out += [1, 2, 3]
      guard payload.byteCount < 3 else { return .declined }
      return .answered
    },
    otherwise: { (request: RawMessage, _) async throws(RPCError) -> RawMessage in
      await Task.yield()
      return RawMessage(Array(request.bytes.reversed()))
    })
  router.unary(Methods.echo) { (request: RawMessage, context) async throws(RPCError) -> RawMessage in
    context.setInitialMetadata(["initial": "yes"])
    var trailing = Metadata()
    for field in context.metadata {
      switch field.value {
      case .text(let text): trailing.add(text, for: field.name)
      case .binary(let bytes): trailing.addBinary(bytes, for: field.name)
      }
    }
    if let identity = context.identity { trailing["identity"] = "\(identity.subject)@\(identity.namespace)" }
    context.setTrailingMetadata(trailing)
    return request
  }
  router.unary(Methods.fail) { (request: RawMessage, _) async throws(RPCError) -> RawMessage in
    throw RPCError(.failedPrecondition, "50 % grün\n", details: [8, 9, 255], metadata: ["why": "because"])
  }
  router.unary(Methods.wait) { (request: RawMessage, context) async throws(RPCError) -> RawMessage in
    witness.deadlines.withLock { $0.append(context.deadline) }
    try await witness.waitUntilReleasedOrCancelled()
    return request
  }
  router.serverStreaming(Methods.count) {
    (request: RawMessage, writer: ResponseWriter<RawMessage>, _) async throws(RPCError) in
    let count = Int(String(decoding: request.bytes, as: UTF8.self)) ?? 0
    let message = RawMessage([UInt8](repeating: 7, count: 1000))
    for _ in 0..<count {
      try await writer.write(message)
      witness.written.withLock { $0 += 1 }
    }
  }
  router.clientStreaming(Methods.sum) { (requests: RequestStream<RawMessage>, _) async throws(RPCError) -> RawMessage in
    var sum = 0
    for try await request in requests { sum += request.bytes.count }
    return RawMessage(Array(String(sum).utf8))
  }
  router.clientStreaming(Methods.firstOnly) {
    (requests: RequestStream<RawMessage>, _) async throws(RPCError) -> RawMessage in
    for try await request in requests { return request }
    throw RPCError(.invalidArgument, "no request")
  }
  router.bidirectional(Methods.chat) {
    (requests: RequestStream<RawMessage>, writer: ResponseWriter<RawMessage>, _) async throws(RPCError) in
    for try await request in requests { try await writer.write(request) }
  }
  return router
}

/// What carries a test's calls: the same tests pass on each.
enum Transport: String, CaseIterable, Sendable {
  case tcp, tls, unix, inProcess
}

/// A server and a connection to it, both ended after `body`.
func withServer(
  _ witness: Witness = Witness(), over transport: Transport = .tcp, router: Router? = nil,
  server change: (inout ServerConfiguration) -> Void = { _ in },
  client changeClient: (inout ClientConfiguration) -> Void = { _ in },
  _ body: (ClientConnection, RPCServer) async throws -> Void
) async throws {
  let directory = try TemporaryDirectory()
  var configuration = ServerConfiguration()
  var clientConfiguration = ClientConfiguration()
  switch transport {
  case .inProcess: break
  case .tcp: configuration.listeners = [.tcp(host: "127.0.0.1", port: 0)]
  case .unix: configuration.listeners = [.unix(path: directory.path + "/s")]
  case .tls:
    let (certificate, key) = try TestCertificate.files.get()
    let files = ServerTLS(certificateChainFile: certificate, privateKeyFile: key)
    configuration.listeners = [.tcp(host: "127.0.0.1", port: 0, tls: files)]
    clientConfiguration.tls = ClientTLS(trustRootsFile: certificate, serverName: "localhost")
  }
  change(&configuration)
  changeClient(&clientConfiguration)
  let server = RPCServer(router: router ?? makeRouter(witness), configuration: configuration)
  let addresses = try await server.start()
  do {
    let client =
      if let address = addresses.first?.serverAddress {
        try await ClientConnection.connect(to: address, configuration: clientConfiguration)
      } else {
        try await server.connectInProcess(configuration: clientConfiguration)
      }
    do {
      try await body(client, server)
    } catch {
      await client.close()
      throw error
    }
    await client.close()
  } catch {
    await server.shutdown(gracePeriod: .zero)
    throw error
  }
  await server.shutdown(gracePeriod: .zero)
}

extension PeerAddress {
  var serverAddress: ServerAddress? {
    switch self {
    case .inet(let host, let port): .tcp(host: host, port: port)
    case .unix(let path): .unix(path: path)
    case .inProcess: nil
    }
  }
}

/// The status that a call ends with.
func status<R>(_ body: () async throws(RPCError) -> R) async -> RPCError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}

/// A server, and a caller on a bare socket.
func withCaller(
  _ router: Router = makeRouter(Witness()), _ change: (inout ServerConfiguration) -> Void = { _ in },
  _ body: (BareCaller, RPCServer) async throws -> Void
) async throws {
  var configuration = ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0)])
  change(&configuration)
  let server = RPCServer(router: router, configuration: configuration)
  guard case .inet(_, let port)? = try await server.start().first else { return }
  do {
    try await body(try BareCaller(port: port), server)
  } catch {
    await server.shutdown(gracePeriod: .zero)
    throw error
  }
  await server.shutdown(gracePeriod: .zero)
}

extension Witness {
  /// Makes other calls until the handler has written nothing more meanwhile; returns what it has written.
  func standstill(_ passBy: () async throws -> Void) async throws -> Int {
    var before = -1
    let deadline = ContinuousClock.now + .seconds(60)
    while written.withLock({ $0 }) != before {
      try #require(ContinuousClock.now < deadline, "the writer had not stopped within 60 s")
      before = written.withLock { $0 }
      for _ in 0..<20 { try await passBy() }
    }
    return before
  }

  /// Cancels the caller of a call to Wait once its handler waits, and sees the handler cancelled.
  func cancelledWait(_ wait: @escaping @Sendable () async throws(RPCError) -> RawMessage) async {
    let task = Task { await status(wait) }
    #expect(await eventually { waiting.withLock { $0 } == 1 })
    task.cancel()
    #expect(await task.value?.code == .cancelled)
    #expect(await eventually { cancelled.withLock { $0 } == 1 })
  }
}
