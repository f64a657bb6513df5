/// Why `Runtime.run()` ended without being asked to.
package enum RuntimeError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The store failed, so what is durable is unknown: the process should end, and recover when it starts again.
  case store(StoreError)
  /// A runtime runs once: its core was handed to the first run.
  case alreadyRun

  package var description: String {
    switch self {
    case .store(let error): "the store failed (\(error)); every answer sent is durable"
    case .alreadyRun: "this runtime was already run"
    }
  }
}
