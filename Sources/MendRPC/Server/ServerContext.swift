internal import MendHTTP2
internal import Synchronization

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
