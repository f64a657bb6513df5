import ArgumentParser
import MendAPI
import MendClient

struct Resume: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ends a pause.",
    discussion: """
      A paused batch does not count against its namespace's quota of batches. While other batches use all of the quota, \
      this is refused.

      EXAMPLES
        mend resume BATCH
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  func run() async throws {
    let answer = try await client.withClient { try await $0.resume(batch) }
    try format.output.print(answer) { "\($0.batchID) is \(Wording.name($0.status))\n" }
  }
}
