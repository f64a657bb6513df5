import ArgumentParser
import MendAPI
import MendClient

struct Pause: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stops handing out documents. Those in process run to their end.",
    discussion: """
      EXAMPLES
        mend pause BATCH
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  func run() async throws {
    let answer = try await client.withClient { try await $0.pause(batch) }
    try format.output.print(answer) {
      "\($0.batchID) is \(Wording.name($0.status)); resume it with: mend resume \($0.batchID)\n"
    }
  }
}
