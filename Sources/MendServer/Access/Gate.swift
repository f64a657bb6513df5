import MendCore
import MendRPC

/// Lets calls in: namespace, token, role. The one place where that is decided, for every method by its `AccessRule`.
///
/// With tokens a call is decided on when its headers are there: a stranger's request is neither read nor decoded.
struct Gate: Sendable {
  /// Nil: everything is allowed, and `serve` saw to it that only this machine can call.
  var tokens: Tokens?
  var requestIDs: RequestIDs

  init(tokens: Tokens? = nil, requestIDs: RequestIDs = RequestIDs()) {
    self.tokens = tokens
    self.requestIDs = requestIDs
  }

  // MARK: A call's headers

  /// What the RPC server asks before it reads a request; nil where there is nothing to ask for.
  var authorization: (@Sendable (MethodDescriptor, Metadata, PeerAddress) throws(RPCError) -> CallIdentity?)? {
    guard tokens != nil else { return nil }
    return { method, metadata, peer throws(RPCError) in try authorize(method, metadata, peer) }
  }

  /// Whose call it is, and in which namespace. What it throws ends the call.
  func authorize(
    _ method: MethodDescriptor, _ metadata: Metadata, _ peer: PeerAddress
  ) throws(RPCError) -> CallIdentity {
    guard let tokens else {
      return CallIdentity(
        subject: "caller", namespace: try namespace(method, metadata.text(of: MetadataName.namespace)))
    }
    switch AccessRule.all[method.path] {
    case .everybody:
      return CallIdentity(subject: "", namespace: "", role: "")
    case .worker:
      let call = refusal(method)
      if peer.isNetwork {
        let entry = try authenticate(metadata, tokens, call)
        guard entry.role.allows(.worker) else { throw call.roleTooLow(entry.role, needed: .worker) }
      }
      return CallIdentity(
        subject: "worker", namespace: MetadataName.defaultNamespace, role: Role.worker.rawValue)
    case .role(let needed):
      let namespace = try namespace(method, metadata.text(of: MetadataName.namespace))
      let call = refusal(method, namespace: namespace)
      let entry = try authenticate(metadata, tokens, call)
      guard entry.role.allows(needed) else { throw call.roleTooLow(entry.role, needed: needed) }
      guard entry.opens(namespace) else { throw call.namespaceClosed(opens: entry.namespace) }
      return CallIdentity(
        subject: entry.name.isEmpty ? entry.role.rawValue : entry.name, namespace: namespace, role: entry.role.rawValue)
    case nil:
      throw refusal(method).closed(method)
    }
  }

  private func namespace(_ method: MethodDescriptor, _ named: String?) throws(RPCError) -> String {
    guard let namespace = named else { return MetadataName.defaultNamespace }
    guard Identifier.isValid(namespace) else {
      throw refusal(method).invalid(
        "\(MetadataName.namespace)", "Namespace must be alphanumeric with hyphens only, 1 to 64 characters",
        message: "Invalid namespace in the metadata \(MetadataName.namespace): \(namespace.quotedShort)")
    }
    return namespace
  }

  private func authenticate(_ metadata: Metadata, _ tokens: Tokens, _ call: Call) throws(RPCError) -> TokenEntry {
    guard let header = metadata[MetadataName.authorization] else {
      throw call.unauthenticated("No token: send the metadata authorization: Bearer TOKEN")
    }
    let parts = header.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else {
      throw call.unauthenticated("The authorization is not a bearer token: send authorization: Bearer TOKEN")
    }
    guard let entry = tokens.entry(for: String(parts[1])) else {
      throw call.unauthenticated(
        "Unknown token: it was mistyped, revoked, or belongs to another server. "
          + "`mend token create` creates one")
    }
    return entry
  }

  /// What a refused call is called in its error.
  private func refusal(_ method: MethodDescriptor, namespace: String = MetadataName.defaultNamespace) -> Call {
    Call(requestID: requestIDs.make(), operation: method.operation, namespace: namespace, actor: "")
  }

  /// What a stream that is open for long asks again: a token may have been taken back meanwhile. Throws what a new call
  /// would be told.
  func readmit(_ context: ServerContext) throws(RPCError) {
    guard tokens != nil else { return }
    _ = try authorize(context.method, context.metadata, context.peer)
  }

  /// Until the call is not let in any more, or at cancellation: its error, or nil.
  func whenTakenBack(_ context: ServerContext) async -> RPCError? {
    guard tokens != nil else { return nil }
    while !Task.isCancelled {
      do throws(RPCError) { try readmit(context) } catch { return error }
      try? await Task.sleep(for: Self.readmissionInterval)
    }
    return nil
  }

  static let readmissionInterval: Duration = .milliseconds(250)

  // MARK: A call's handler

  /// What a handler begins with: the call as it was let in. Says the request id in the answer's metadata.
  func admit(_ context: ServerContext, _ operation: String) throws(RPCError) -> Call {
    let call = try admitInline(context, operation)
    context.setInitialMetadata([MetadataName.requestID: call.requestID.description])
    return call
  }

  /// The same without metadata in the answer, for the path on which they cost too much. Errors have the request id
  /// all the same.
  func admitInline(_ context: ServerContext, _ operation: String) throws(RPCError) -> Call {
    guard tokens != nil else {
      return Call(
        requestID: requestIDs.make(), operation: operation,
        namespace: try namespace(context.method, context.metadata(text: MetadataName.namespace)), actor: "caller")
    }
    let identity: CallIdentity
    if let known = context.identity {
      identity = known
    } else {
      // A handler that was called without a server around it.
      identity = try authorize(context.method, context.metadata, context.peer)
    }
    return Call(
      requestID: requestIDs.make(), operation: operation, namespace: identity.namespace, actor: identity.subject)
  }
}

extension MethodDescriptor {
  /// The method's name in snake case: `get_batch` for `GetBatch`.
  var operation: String {
    var text = ""
    for character in method {
      if character.isUppercase, !text.isEmpty { text.append("_") }
      text += character.lowercased()
    }
    return text
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
