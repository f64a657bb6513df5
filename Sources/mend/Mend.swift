import ArgumentParser
import MendExecutors

/// The program: the server and its command line.
@main
struct Mend: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "mend",
    abstract: "Runs multi-tier batch jobs over documents, finds out why they fail or hang, and repairs them.",
    discussion: """
      EXAMPLES
        mend serve --data ./data
        mend submit --tier 'words=wc -w < "$MEND_PATH"' --wait *.txt
        mend diagnose BATCH
        mend retry BATCH --tier 0 --memory 512MiB

      A client finds its server by --server or MEND_SERVER (127.0.0.1:7443 otherwise). Exit status: 0 done, 1 the server \
      refused or the work that was waited for did not succeed, 2 wrong usage, 3 no server reachable.
      """,
    version: "mend \(version)",
    groupedSubcommands: [
      CommandGroup(name: "Running batches", subcommands: [Submit.self, Status.self, List.self, Watch.self, Logs.self]),
      CommandGroup(
        name: "Finding and repairing faults",
        subcommands: [
          Diagnose.self, Explain.self, Causes.self, History.self, Replay.self, Retry.self, Heal.self, Cancel.self,
          Pause.self, Resume.self,
        ]),
      CommandGroup(name: "Running a server", subcommands: [Serve.self, Doctor.self, Token.self]),
      CommandGroup(name: "Inside a job", subcommands: [Worker.self, Report.self]),
      CommandGroup(name: "Other", subcommands: [Version.self, Supervise.self]),
    ])

  /// Accepts `mend --server S list` as `mend list --server S`, because people often name the server first.
  static func connectingOptionsLast(_ arguments: [String]) -> [String] {
    let names = ["--server", "--token", "--namespace", "--tls-ca", "--tls-cert", "--tls-key", "-o", "--output"]
    var rest = arguments[...]
    var options: [String] = []
    while let option = rest.first, option.hasPrefix("-") {
      let hasValue = option.contains("=")
      guard names.contains(String(option.prefix { $0 != "=" })), hasValue || rest.count > 1 else { return arguments }
      options += rest.prefix(hasValue ? 1 : 2)
      rest = rest.dropFirst(hasValue ? 1 : 2)
    }
    guard let command = rest.first else { return arguments }
    return [command] + options + rest.dropFirst()
  }

  /// Accepts `--after -1` as `--after=-1`: the parser would call the value missing, and not what is wrong with it.
  static func joiningNegativeNumbers(_ arguments: [String]) -> [String] {
    var joined: [String] = []
    for (index, argument) in arguments.enumerated() {
      if argument == "--" { return joined + arguments[index...] }
      let isNegativeNumber = argument.hasPrefix("-") && Double(argument) != nil
      if isNegativeNumber, let option = joined.last, option.hasPrefix("--"), !option.contains("=") {
        joined[joined.count - 1] = "\(option)=\(argument)"
      } else {
        joined.append(argument)
      }
    }
    return joined
  }

  static func main() async {
    let arguments = joiningNegativeNumbers(connectingOptionsLast(Array(CommandLine.arguments.dropFirst())))
    if arguments.first == Supervise.name { Supervisor.main(Array(arguments.dropFirst())) }
    Standard.holdClosedStreams()
    Standard.ignoreBrokenPipes()
    if arguments.first == Worker.name { EndRequest.receive { await run(arguments, until: $0) } }
    await run(arguments, until: nil)
  }

  /// Reports an unknown command, which the parser would call an unexpected argument.
  private static func expectCommand(_ arguments: [String]) throws(ProgramError) {
    let commands = configuration.groupedSubcommands.flatMap(\.subcommands)
    let names = commands.map { $0.configuration.commandName ?? "\($0)".lowercased() } + ["help"]
    guard let name = arguments.first, !name.hasPrefix("-"), !names.contains(name) else { return }
    let near = Spelling.near(name, among: names)
    throw .usage(
      "unknown command '\(name)'"
        + (near.isEmpty ? "" : "; did you mean \(near.joined(separator: " or "))?") + "; 'mend help' lists them")
  }

  private static func run(_ arguments: [String], until endRequest: EndRequest?) async {
    do {
      try expectCommand(arguments)
      var command = try await asyncParseAsRoot(arguments)
      if let worker = command as? Worker, let endRequest {
        try await worker.run(until: endRequest)
      } else if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      ExitStatus.end(with: error)
    }
  }
}
