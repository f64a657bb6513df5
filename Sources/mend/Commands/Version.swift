import ArgumentParser

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Which version of Mend this is.")

  func run() { Standard.output("mend \(Mend.version)\n") }
}
