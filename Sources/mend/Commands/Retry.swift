import ArgumentParser
import MendAPI
import MendClient

struct Retry: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs what failed in a tier again, with other resources if you ask.",
    discussion: """
      Completed documents are not processed again, unless you give --scope all. Later tiers follow by themselves.

      EXAMPLES
        mend retry BATCH --tier 0 --memory 512MiB
        mend retry BATCH --tier 1 --job t1-j0 --scope all
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(parsing: .unconditional, help: ArgumentHelp("The tier, counted from 0.", valueName: "number"))
  var tier: Int32

  @Option(help: ArgumentHelp("Only this job, such as t0-j1. Repeatable.", valueName: "id"))
  var job: [String] = []

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Memory of one job from now on, such as 512MiB.", valueName: "size"),
    transform: Size.option)
  var memory: Size?

  @Option(parsing: .unconditional, help: ArgumentHelp("CPUs of one job from now on.", valueName: "number"))
  var cpus: Double?

  @Flag(inversion: .prefixedNo, help: "Whether a job needs a GPU from now on.")
  var gpu: Bool?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Priority of what runs again, 0 to 100; higher runs first. The batch keeps its own.", valueName: "number"))
  var priority: Int32?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The longest that one attempt may take; 0 removes the limit.", valueName: "seconds"))
  var runTimeout: Double?

  @Option(help: ArgumentHelp("A variable of the jobs' environment. Repeatable.", valueName: "NAME=VALUE"))
  var env: [String] = []

  @Option(help: "failed: all that is not completed; all: what is completed, too.")
  var scope: Scope = .failed

  enum Scope: String, ExpressibleByArgument, CaseIterable { case failed, all }

  func run() async throws {
    var request = RetryRequest()
    request.batchID = batch
    request.tier = tier
    request.jobs = job
    request.memoryBytes = memory?.bytes
    request.numCpus = cpus
    request.requiresGpu = gpu
    request.priority = priority
    request.runTimeoutSeconds = runTimeout
    request.scope = scope == .all ? .all : .failed
    for variable in env {
      guard let equals = variable.firstIndex(of: "="), equals > variable.startIndex else {
        throw ProgramError.usage("--env '\(variable)' is not NAME=VALUE")
      }
      request.env[String(variable[..<equals])] = String(variable[variable.index(after: equals)...])
    }
    let asked = request
    let answer = try await client.withClient { try await $0.retry(asked) }
    try format.output.print(answer, table: Self.text)
  }

  /// All of a few jobs; of many the first, and how many they are.
  private static func names(_ jobs: [String]) -> String {
    guard jobs.count > 10 else { return jobs.joined(separator: ", ") }
    return "\(jobs.prefix(3).joined(separator: ", ")) and \(jobs.count - 3) more jobs"
  }

  static func text(_ answer: RetryResponse) -> String {
    """
    \(answer.batchID) is \(Wording.name(answer.status)): tier \(answer.tier) runs again with \
    \(Wording.count(answer.documents, "document")) in \(names(answer.jobs))
    Follow it: mend watch \(answer.batchID)

    """
  }
}
