import MendAPI
import MendRPC

/// Who may call a method on a server with tokens.
enum AccessRule: Hashable, Sendable {
  /// Anybody, without a token: the answer is public.
  case everybody
  /// A token with this role or one that includes it, in the namespace that the token opens.
  case role(Role)
  /// A worker. The attempt token in the message decides what it may do. The bearer token only keeps strangers off a
  /// network port, so a Unix socket requires none, and it names no namespace.
  case worker

  /// The rule of every method that the server answers. A method without a rule is refused for everybody.
  static let all: [String: AccessRule] = {
    var rules: [String: AccessRule] = [:]
    for method in GRPCHealth.descriptor.methods + GRPCServerReflection.descriptor.methods {
      rules[method.path] = .everybody
    }
    for method in GRPCV1AlphaServerReflection.descriptor.methods { rules[method.path] = .everybody }
    for method in Worker.descriptor.methods { rules[method.path] = .worker }
    for method in [
      Batches.Methods.getBatch, Batches.Methods.listBatches, Batches.Methods.diagnose, Batches.Methods.watchProgress,
      Batches.Methods.listEvents, Batches.Methods.readLogs,
    ] { rules[method.path] = .role(.viewer) }
    for method in [
      Batches.Methods.createBatch, Batches.Methods.addDocuments, Batches.Methods.submitBatch, Batches.Methods.retry,
      Batches.Methods.heal, Batches.Methods.cancelJob, Batches.Methods.cancelTier, Batches.Methods.cancelBatch,
      Batches.Methods.pauseBatch, Batches.Methods.resumeBatch,
    ] { rules[method.path] = .role(.operator) }
    return rules
  }()
}
