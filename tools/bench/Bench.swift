import ArgumentParser
import MendClient

/// `mend-bench`: drives one call against a server, as fast as it answers, and says what it took.
@main
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mend-bench",
    abstract: "Calls a Mend server in a closed loop and measures throughput and latency.",
    discussion: """
      Each of --connections has --streams callers; each makes its next call when the one before it was answered. With \
      --watchers there are so many watches of the batch besides, and the messages that they get are counted. Progress \
      goes to stderr, the result to stdout.

      EXAMPLES
        mend-bench --server 127.0.0.1:7443 --call Diagnose --batch b1 --connections 8 --streams 32 --duration 10
        mend-bench --call GetBatch --batch b1 --count 100000 -o json
        mend-bench --call ListBatches --request '{"page_size": 10}' --count 1000
        mend-bench --call CreateBatch --request "$(cat batch.json)" --count 1000 --streams 8
        mend-bench --call Diagnose --batch b1 --watchers 200 --duration 30
      """)

  @Option(help: ArgumentHelp("Where the server listens.", valueName: "HOST:PORT|unix:PATH"))
  var server = "127.0.0.1:7443"

  @Option(help: ArgumentHelp("A unary method of mend.v1.Batches or mend.v1.Worker.", valueName: "METHOD"))
  var call = "Diagnose"

  @Option(help: ArgumentHelp("The batch_id of every request.", valueName: "ID"))
  var batch: String?

  @Option(help: ArgumentHelp("The request as JSON, with the schema's names.", valueName: "JSON"))
  var request: String?

  @Option(help: ArgumentHelp("Sent as a bearer token.", valueName: "token"))
  var token: String?

  @Option(help: ArgumentHelp("Sent as mend-namespace.", valueName: "name"))
  var namespace: String?

  @Option(help: ArgumentHelp("Connections.", valueName: "N"))
  var connections = 8

  @Option(help: ArgumentHelp("Callers of each connection.", valueName: "N"))
  var streams = 32

  @Option(help: ArgumentHelp("Calls over all callers; takes the place of --duration.", valueName: "N"))
  var count: Int?

  @Option(help: ArgumentHelp("How long to call.", valueName: "SECONDS"))
  var duration: Double = 5

  @Option(help: ArgumentHelp("Calls before the measurement begins, for each caller.", valueName: "N"))
  var warmup = 10

  @Option(help: ArgumentHelp("Watches of the batch beside the calls.", valueName: "N"))
  var watchers = 0

  @Flag(help: "Call by way of a pool for each connection, as MendClient does, instead of the bare connection.")
  var pooled = false

  @Option(name: [.short, .long], help: "table or json.")
  var output: OutputFormat = .table

  enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case table, json }

  func validate() throws {
    guard connections > 0, streams > 0, duration > 0, count ?? 1 > 0, warmup >= 0, watchers >= 0 else {
      throw ValidationError(
        "--connections, --streams, --count and --duration are above 0; --watchers and --warmup 0 or more.")
    }
    guard watchers == 0 || batch != nil else { throw ValidationError("--watchers needs --batch.") }
  }

  func run() async throws {
    let run = try BenchRun(options: self)
    let result = try await run.measure()
    print(output == .json ? result.json : result.table)
  }
}
