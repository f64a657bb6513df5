import ArgumentParser
import MendAPI
import MendClient

struct Diagnose: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what is wrong with a batch, why, on what evidence, and what to do.",
    discussion: """
      EXAMPLES
        mend diagnose BATCH
        mend diagnose BATCH -o json | jq '.findings[].remedy'
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  func run() async throws {
    let answer = try await client.withClient { try await $0.diagnose(batch) }
    try format.output.print(answer, table: DiagnosisReport.text)
  }
}
