import ArgumentParser
import MendAPI
import MendCore
import MendExecutors

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

extension MendCore.ExecutorKind {
  /// The traits of every executor that this program has, whether a server uses it or not.
  static let traits = Dictionary(uniqueKeysWithValues: allCases.map { ($0, $0.traits) })

  var traits: ExecutorTraits {
    var traits =
      switch self {
      case .local: LocalExecutor.traits
      case .ray: RayExecutor.traits
      case .simulated: ExecutorTraits()
      }
    traits.howToAdd =
      switch self {
      case .local: "serve with --executor local, or with --executor ray and without --no-local"
      case .ray: "serve with --ray URL"
      case .simulated: "serve with --executor simulated"
      }
    return traits
  }
}
