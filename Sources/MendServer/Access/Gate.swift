import MendCore
import MendRPC

/// Lets calls in: namespace, token, role. Every service asks it first.
struct Gate: Sendable {
  /// Nil: everything is allowed, and `serve` saw to it that only this machine can call.
  var tokens: Tokens?
  var requestIDs: RequestIDs

  init(tokens: Tokens? = nil, requestIDs: RequestIDs = RequestIDs()) {
    self.tokens = tokens
    self.requestIDs = requestIDs
  }

  /// Lets a call of the Batches service in, and says its request id in the answer's metadata.
  func admit(_ context: ServerContext, _ operation: String, _ needed: Role) throws(RPCError) -> Call {
    let call = try admitInline(context, operation, needed)
    context.setInitialMetadata([MetadataName.requestID: call.requestID.description])
    return call
  }

  /// The same without metadata in the answer, for the path on which they cost too much. Errors have the request id
  /// all the same.
  func admitInline(_ context: ServerContext, _ operation: String, _ needed: Role) throws(RPCError) -> Call {
    var call = Call(
      requestID: requestIDs.make(), operation: operation,
      namespace: MetadataName.defaultNamespace, actor: "caller")
    if let namespace = context.metadata(text: MetadataName.namespace) {
      guard Identifier.isValid(namespace) else {
        throw call.invalid(
          "\(MetadataName.namespace)", "Namespace must be alphanumeric with hyphens only, 1 to 64 characters",
          message: "Invalid namespace in the metadata \(MetadataName.namespace): \(namespace.quotedShort)")
      }
      call.namespace = namespace
    }
    guard let tokens else { return call }
    let entry = try authenticate(context, tokens, call)
    guard entry.role.allows(needed) else {
      throw call.roleTooLow(entry.role, needed: needed)
    }
    guard entry.opens(call.namespace) else { throw call.namespaceClosed(opens: entry.namespace) }
    call.actor = entry.name.isEmpty ? entry.role.rawValue : entry.name
    return call
  }

  /// Lets a call of the Worker service in. What it may do is the attempt token's business, in the message; the bearer
  /// token only keeps strangers off a network port, so it is not asked for on a Unix socket.
  func admitWorker(_ context: ServerContext, _ operation: String) throws(RPCError) -> Call {
    let call = Call(
      requestID: requestIDs.make(), operation: operation, namespace: MetadataName.defaultNamespace, actor: "worker")
    context.setInitialMetadata([MetadataName.requestID: call.requestID.description])
    guard let tokens, context.peer.isNetwork else { return call }
    let entry = try authenticate(context, tokens, call)
    guard entry.role.allows(.worker) else { throw call.roleTooLow(entry.role, needed: .worker) }
    return call
  }

  private func authenticate(_ context: ServerContext, _ tokens: Tokens, _ call: Call) throws(RPCError) -> TokenEntry {
    guard let header = context.metadata[MetadataName.authorization] else {
      throw call.unauthenticated("No token: send the metadata authorization: Bearer TOKEN")
    }
    let parts = header.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else {
      throw call.unauthenticated("The authorization is not a bearer token: send authorization: Bearer TOKEN")
    }
    guard let entry = tokens.entry(for: String(parts[1])) else {
      throw call.unauthenticated(
        "The token is not known here: it was mistyped, taken back, or is another server's. "
          + "`mend token create` makes one")
    }
    return entry
  }
}

extension PeerAddress {
  /// True where the other side may be another machine.
  fileprivate var isNetwork: Bool {
    switch self {
    case .unix, .inProcess: false
    case .inet: true
    }
  }
}
