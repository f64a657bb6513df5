import ArgumentParser
import MendAPI
import MendCore

/// An executor as it is named in a command line: `mend serve --executor`, `mend submit --deployment-mode`.
enum ExecutorName: String, ExpressibleByArgument, CaseIterable {
  case local, ray, simulated

  var kind: MendCore.ExecutorKind {
    switch self {
    case .local: .local
    case .ray: .ray
    case .simulated: .simulated
    }
  }

  /// The same in a call.
  var deploymentMode: MendAPI.ExecutorKind {
    switch self {
    case .local: .local
    case .ray: .ray
    case .simulated: .simulated
    }
  }
}
