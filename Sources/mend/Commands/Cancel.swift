import ArgumentParser
import MendAPI
import MendClient

struct Cancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ends a batch, a tier or a job. Waits until every process is gone and reports what was ended.",
    discussion: """
      Every process gets SIGTERM. What is left after the grace period is killed, with everything that it started.

      EXAMPLES
        mend cancel BATCH
        mend cancel BATCH --tier 1 --grace 30
        mend cancel BATCH --job t0-j1
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(parsing: .unconditional, help: ArgumentHelp("Only this tier, counted from 0.", valueName: "number"))
  var tier: Int32?

  @Option(help: ArgumentHelp("Only this job, such as t0-j1.", valueName: "id"))
  var job: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Time between SIGTERM and SIGKILL; default 10.", valueName: "seconds"))
  var grace: Double?

  func validate() throws {
    if let grace, !(grace >= 0 && grace <= 3600) {
      throw ValidationError("--grace must be 0 to 3600 seconds.")
    }
    if let job, let tier, !job.hasPrefix("t\(tier)-") {
      throw ValidationError("--job \(job) is not in tier \(tier); give --job without --tier.")
    }
  }

  func run() async throws {
    let target: MendClient.CancelTarget = job.map { .job($0) } ?? tier.map { .tier($0) } ?? .batch
    let answer = try await client.withClient { try await $0.cancel(batch, target, grace: grace) }
    try format.output.print(answer, table: Self.text)
  }

  static func text(_ answer: CancelResponse) -> String {
    var text = "\(answer.batchID) is \(Wording.name(answer.status))"
    if answer.ended.isEmpty { return text + "; nothing was running\n" }
    let processes = answer.ended.reduce(0) { $0 + Int($1.processes) }
    text +=
      "; ended \(Wording.count(answer.ended.count, "attempt")) with \(processes) "
      + "process\(processes == 1 ? "" : "es")"
    if let count = answer.endedLeftOut { text += ", and \(count) more that are not shown" }
    text += "\n"
    var table = Table(("ATTEMPT", .left), ("PROCESSES", .right), ("HOW", .left))
    for ended in answer.ended { table.add(ended.attempt, String(ended.processes), ended.how) }
    return text + table.text(indent: 2)
  }
}
