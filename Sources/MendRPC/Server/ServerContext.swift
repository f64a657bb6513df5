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

/// The caller's identity, as ``ServerConfiguration/authorize`` established it.
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

/// A handler's view of its call.
public struct ServerContext: Sendable {
  let storage: CallStorage

  init(storage: CallStorage) {
    self.storage = storage
  }

  /// A context without a call, for tests that call handlers directly.
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
  /// One text value of the metadata. The name must be in lower case; fast enough for every call.
  public func metadata(text name: StaticString) -> String? { storage.request.value.metadata.text(of: name) }
  /// When the caller stops waiting. The handler's task is cancelled then.
  public var deadline: ContinuousClock.Instant? { storage.request.value.deadline }
  public var peer: PeerAddress { storage.connection.peer }
  /// The connection is encrypted.
  public var isSecure: Bool { storage.connection.isSecure }
  /// The caller's identity; nil if the server does not authorize calls.
  public var identity: CallIdentity? { storage.request.value.identity }

  /// Sets the metadata sent before the first response message; has no effect after that.
  public func setInitialMetadata(_ metadata: Metadata) {
    storage.response.withLock { $0.initial = metadata }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }

  /// Sets how this call's responses are compressed, if its caller accepts that; has no effect after the first one.
  public func setCompression(_ policy: CompressionPolicy) {
    storage.response.withLock { $0.compression = policy }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }

  /// Whether the request message that was read last was compressed on the wire.
  package var requestWasCompressed: Bool { storage.requestWasCompressed.load(ordering: .relaxed) }

  /// Sets the metadata sent with the status.
  public func setTrailingMetadata(_ metadata: Metadata) {
    storage.response.withLock { $0.trailing = metadata }
    storage.hasResponseMetadata.store(true, ordering: .releasing)
  }
}

/// The facts that all calls of a connection have in common, shared by reference.
final class ConnectionFacts: Sendable {
  let peer: PeerAddress
  let isSecure: Bool

  init(peer: PeerAddress, isSecure: Bool) {
    self.peer = peer
    self.isSecure = isSecure
  }
}

/// The facts that all calls of a method have in common.
class MethodFacts: @unchecked Sendable {
  // Unchecked: not final, but neither this class nor its one subclass has anything that changes.
  let method: MethodDescriptor

  init(_ method: MethodDescriptor) {
    self.method = method
  }

  static let none = MethodFacts(MethodDescriptor(service: "", method: "", shape: .unary))
}

/// The storage of a ``ServerContext``.
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
  /// Whether the handler set anything in `response`; saves the lock where it did not.
  let hasResponseMetadata = Atomic(false)
  /// Whether the last request message was compressed. Only set in calls whose requests may be compressed.
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

  /// Empties the storage for the next call on the same stream slot.
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
