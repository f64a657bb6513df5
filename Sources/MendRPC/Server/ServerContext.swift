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
    storage = CallStorage()
    storage.method = method
    storage.metadata = metadata
    storage.deadline = deadline
    storage.peer = peer
    storage.isSecure = isSecure
    storage.identity = identity
  }

  public var method: MethodDescriptor { storage.method }
  /// The request's metadata.
  public var metadata: Metadata { storage.metadata }
  /// When the caller stops waiting. The handler's task is cancelled then.
  public var deadline: ContinuousClock.Instant? { storage.deadline }
  public var peer: PeerAddress { storage.peer }
  /// The connection is encrypted.
  public var isSecure: Bool { storage.isSecure }
  /// Who calls; nil where the server authorizes nobody.
  public var identity: CallIdentity? { storage.identity }

  /// Metadata sent before the first response message; without effect once one was sent.
  public func setInitialMetadata(_ metadata: Metadata) {
    storage.response.withLock { $0.initial = metadata }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }

  /// Metadata sent with the status.
  public func setTrailingMetadata(_ metadata: Metadata) {
    storage.response.withLock { $0.trailing = metadata }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }
}

/// Behind a context.
final class CallStorage: @unchecked Sendable {
  // Unchecked: the plain variables are written before a handler gets the context, or when nobody else holds it any
  // more; what a handler may write is behind the lock.
  var method = CallStorage.noMethod
  var metadata = Metadata()
  var deadline: ContinuousClock.Instant?
  var peer = PeerAddress.inProcess
  var isSecure = false
  var identity: CallIdentity?

  struct Response {
    var initial: Metadata?
    var trailing: Metadata?
  }
  let response = Mutex(Response())
  /// Spares calls that set none the lock.
  let hasResponseMetadata = Atomic(false)

  private static let noMethod = MethodDescriptor(service: "", method: "", shape: .unary)

  var hasResponse: Bool { hasResponseMetadata.load(ordering: .acquiring) }

  func takeResponse() -> Response {
    guard hasResponseMetadata.load(ordering: .acquiring) else { return Response() }
    return response.withLock { $0 }
  }

  /// For the next call on the same stream slot.
  func recycle() {
    metadata.block.removeAll()
    deadline = nil
    identity = nil
    if hasResponseMetadata.load(ordering: .relaxed) {
      response.withLock { $0 = Response() }
      hasResponseMetadata.store(false, ordering: .relaxed)
    }
  }
}
