import ArgumentParser
import MendExecutors

/// Only for the list of commands: `Mend.main` passes `mend supervise` to the supervisor before anything else starts a
/// thread.
struct Supervise: ParsableCommand {
  static let name = "supervise"
  static let configuration = CommandConfiguration(
    commandName: name, abstract: "Watches one attempt. Started by the server.", shouldDisplay: false)

  @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

  func run() { Supervisor.main(arguments) }
}
