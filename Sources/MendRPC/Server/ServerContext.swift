internal import MendHTTP2
internal import Synchronization

/// The other end of a connection.
public enum PeerAddress: Hashable, Sendable, CustomStringConvertible {
  case inet(host: String, port: Int)
  case unix(path: String)
  case inProcess

  public var description: String {
    switch self {
    case .inet(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    case .inProcess: "in-process"
    }
  }
}

/// Who calls, as ``ServerConfiguration/authorize`` found out.
public struct CallIdentity: Hashable, Sendable {
  public var subject: String
  public var namespace: String
  public var role: String

  public init(subject: String, namespace: String = "", role: String = "") {
    self.subject = subject
    self.namespace = namespace
    self.role = role
  }
}

/// What a handler knows of its call.
public struct ServerContext: Sendable {
  let storage: CallStorage

  init(storage: CallStorage) {
    self.storage = storage
  }

  /// A context without a call behind it: for handlers that are called directly, as tests do.
  public init(
    method: MethodDescriptor, metadata: Metadata = Metadata(), deadline: ContinuousClock.Instant? = nil,
    peer: PeerAddress = .inProcess, isSecure: Bool = false, identity: CallIdentity? = nil
  ) {
    storage = CallStorage(ConnectionFacts(peer: peer, isSecure: isSecure))
    storage.request.value.facts = MethodFacts(method)
    storage.request.value.metadata = metadata
    storage.request.value.deadline = deadline
    storage.request.value.identity = identity
  }

  public var method: MethodDescriptor { storage.request.value.facts.method }
  /// The request's metadata.
  public var metadata: Metadata { storage.request.value.metadata }
  /// One text value of it, by a name that is written in lower case in the source: for look-ups on every call.
  public func metadata(text name: StaticString) -> String? { storage.request.value.metadata.text(of: name) }
  /// When the caller stops waiting. The handler's task is cancelled then.
  public var deadline: ContinuousClock.Instant? { storage.request.value.deadline }
  public var peer: PeerAddress { storage.connection.peer }
  /// The connection is encrypted.
  public var isSecure: Bool { storage.connection.isSecure }
  /// Who calls; nil where the server authorizes nobody.
  public var identity: CallIdentity? { storage.request.value.identity }

  /// Metadata sent before the first response message; without effect once one was sent.
  public func setInitialMetadata(_ metadata: Metadata) {
    storage.response.withLock { $0.initial = metadata }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }

  /// How this call's responses are sent, if its caller takes it; without effect once one was sent.
  public func setCompression(_ policy: CompressionPolicy) {
    storage.response.withLock { $0.compression = policy }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }

  /// Whether the request message that was read last was compressed on the wire.
  package var requestWasCompressed: Bool { storage.requestWasCompressed.load(ordering: .relaxed) }

  /// Metadata sent with the status.
  public func setTrailingMetadata(_ metadata: Metadata) {
    storage.response.withLock { $0.trailing = metadata }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }
}

/// What all calls of a connection have in common: shared by reference, not copied into each.
final class ConnectionFacts: Sendable {
  let peer: PeerAddress
  let isSecure: Bool

  init(peer: PeerAddress, isSecure: Bool) {
    self.peer = peer
    self.isSecure = isSecure
  }
}

/// What all calls of a method have in common.
class MethodFacts: @unchecked Sendable {
  // Unchecked: not final, but neither this class nor its one subclass has anything that changes.
  let method: MethodDescriptor

  init(_ method: MethodDescriptor) {
    self.method = method
  }

  static let none = MethodFacts(MethodDescriptor(service: "", method: "", shape: .unary))
}

/// Behind a context.
final class CallStorage: @unchecked Sendable {
  // Unchecked: the plain variables are written before a handler gets the context, or when nobody else holds it any
  // more; what a handler may write is behind the lock.
  let connection: ConnectionFacts
  let request = Pinned(Request())

  struct Request {
    var facts = MethodFacts.none
    var metadata = Metadata()
    var deadline: ContinuousClock.Instant?
    var identity: CallIdentity?
  }

  struct Response {
    var initial: Metadata?
    var trailing: Metadata?
    var compression: CompressionPolicy?
  }
  let response = Mutex(Response())
  /// Spares calls that set none the lock.
  let hasResponseMetadata = Atomic(false)
  /// Set in calls whose requests may be compressed, and nowhere else.
  let requestWasCompressed = Atomic(false)

  init(_ connection: ConnectionFacts) {
    self.connection = connection
  }

  deinit {
    request.free()
  }

  var hasResponse: Bool { hasResponseMetadata.load(ordering: .acquiring) }

  func takeResponse() -> Response {
    guard hasResponseMetadata.load(ordering: .acquiring) else { return Response() }
    return response.withLock { $0 }
  }

  /// For the next call on the same stream slot.
  func recycle() {
    request.value.metadata.block.removeAll()
    request.value.deadline = nil
    request.value.identity = nil
    requestWasCompressed.store(false, ordering: .relaxed)
    if hasResponseMetadata.load(ordering: .relaxed) {
      response.withLock { $0 = Response() }
      hasResponseMetadata.store(false, ordering: .relaxed)
    }
  }
}
