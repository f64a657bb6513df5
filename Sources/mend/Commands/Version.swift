import ArgumentParser

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the version of Mend.",
    discussion: """
      EXAMPLES
        mend version
      """)

  func run() { Standard.output("mend \(Mend.version)\n") }
}
