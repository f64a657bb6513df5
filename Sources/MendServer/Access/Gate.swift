import MendCore
import MendRPC

/// Admits calls by namespace, token and role. The only place that decides it, for every method by its `AccessRule`.
///
/// With tokens a call is admitted or refused when its headers have arrived: a stranger's request is neither read nor
/// decoded.
struct Gate: Sendable {
  /// Nil allows everything; `serve` makes sure that only this machine can call.
  var tokens: Tokens?
  var requestIDs: RequestIDs

  init(tokens: Tokens? = nil, requestIDs: RequestIDs = RequestIDs()) {
    self.tokens = tokens
    self.requestIDs = requestIDs
  }

  // MARK: A call's headers

  /// The check that the RPC server makes before it reads a request; nil without tokens.
  var authorization: (@Sendable (MethodDescriptor, Metadata, PeerAddress) throws(RPCError) -> CallIdentity?)? {
    guard tokens != nil else { return nil }
    return { method, metadata, peer throws(RPCError) in try authorize(method, metadata, peer) }
  }

  /// The caller and the namespace. An error that it throws ends the call.
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

  /// The name of a refused call in its error.
  private func refusal(_ method: MethodDescriptor, namespace: String = MetadataName.defaultNamespace) -> Call {
    Call(requestID: requestIDs.make(), method: method, namespace: namespace, actor: "")
  }

  /// Checks a long stream again: its token may have been revoked. Throws the error that a new call would get.
  func readmit(_ context: ServerContext) throws(RPCError) {
    guard tokens != nil else { return }
    _ = try authorize(context.method, context.metadata, context.peer)
  }

  /// Returns when the call is no longer admitted, with its error, or nil at cancellation.
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

  /// The first step of a handler: returns the admitted call and puts the request id into the answer's metadata.
  func admit(_ context: ServerContext) throws(RPCError) -> Call {
    let call = try admitInline(context)
    context.setInitialMetadata([MetadataName.requestID: call.requestID.description])
    return call
  }

  /// The same without metadata in the answer, for calls where they cost too much. Errors have the request id all the
  /// same.
  func admitInline(_ context: ServerContext) throws(RPCError) -> Call {
    let method = context.method
    guard tokens != nil else {
      return Call(
        requestID: requestIDs.make(), method: method,
        namespace: try namespace(method, context.metadata(text: MetadataName.namespace)), actor: "caller")
    }
    let identity: CallIdentity
    if let known = context.identity {
      identity = known
    } else {
      // A handler that was called without a server.
      identity = try authorize(method, context.metadata, context.peer)
    }
    return Call(
      requestID: requestIDs.make(), method: method, namespace: identity.namespace, actor: identity.subject)
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
  /// True if the peer may be on another machine.
  fileprivate var isNetwork: Bool {
    switch self {
    case .unix, .inProcess: false
    case .inet: true
    }
  }
}
