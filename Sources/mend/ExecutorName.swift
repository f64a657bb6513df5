import ArgumentParser
import MendAPI
import MendCore

/// The name of an executor on the command line: `mend serve --executor`, `mend submit --deployment-mode`.
enum ExecutorName: String, ExpressibleByArgument, CaseIterable {
  case local, ray, simulated

  var kind: MendCore.ExecutorKind {
    switch self {
    case .local: .local
    case .ray: .ray
    case .simulated: .simulated
    }
  }

  /// The same executor in a call.
  var deploymentMode: MendAPI.ExecutorKind {
    switch self {
    case .local: .local
    case .ray: .ray
    case .simulated: .simulated
    }
  }
}
