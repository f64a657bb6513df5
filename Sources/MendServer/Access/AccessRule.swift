import MendAPI
import MendRPC

/// Who may call a method where tokens are asked for.
enum AccessRule: Hashable, Sendable {
  /// Anybody, without a token: what the method says is public.
  case everybody
  /// A token whose role allows this one, in the namespace that it opens.
  case role(Role)
  /// A worker. What it may do is the attempt token's business, in the message; the bearer token only keeps strangers off
  /// a network port, so it is not asked for on a Unix socket, and it names no namespace.
  case worker

  /// The rule of every method that the server answers. One that is not here is answered to nobody.
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
