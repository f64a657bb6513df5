import ArgumentParser

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Which version of Mend this is.",
    discussion: """
      EXAMPLES
        mend version
      """)

  func run() { Standard.output("mend \(Mend.version)\n") }
}
