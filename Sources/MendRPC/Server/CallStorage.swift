internal import MendHTTP2
internal import Synchronization

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
