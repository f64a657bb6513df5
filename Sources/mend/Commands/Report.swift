import ArgumentParser
import MendAPI
import MendClient
import MendCore
import MendRPC

struct Report: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reports results of documents, for an entrypoint that is a shell script.",
    discussion: """
      Reads MEND_ENDPOINT and MEND_ATTEMPT_TOKEN, which every attempt has in its environment. MEND_MANIFEST names a file \
      with the documents to process, one JSON line for each. Exit status 1 means that the attempt must end: end the script.

      EXAMPLES
        mend report --stage loading
        mend report --done q4 q3 --written texts=2
        mend report --failed 'q2=bad_input:no text layer' || exit 1
        mend report --beat
      """)

  @OptionGroup var format: OutputOptions

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("A completed document, or several. Repeatable.", valueName: "ID"))
  var done: [String] = []

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("A failed document and why. Repeatable.", valueName: "ID=CODE:MESSAGE"))
  var failed: [String] = []

  @Option(help: ArgumentHelp("The stage that the attempt enters now.", valueName: "NAME"))
  var stage: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Documents written into a collection. Repeatable.", valueName: "COLLECTION=N"))
  var written: [String] = []

  @Flag(help: "Send only a heartbeat.")
  var beat = false

  func validate() throws {
    if done.isEmpty, failed.isEmpty, stage == nil, written.isEmpty, !beat {
      throw ValidationError("Specify at least one of --done, --failed, --stage, --written and --beat.")
    }
  }

  func run() async throws {
    var request = ReportRequest()
    // A report that is repeated because its answer was lost counts once.
    request.reportID = String(UInt64.random(in: 0...UInt64.max), radix: 36)
    request.completed = done
    request.failed = try failed.map(Self.failure)
    request.stage = stage ?? ""
    request.written = try written.map(Self.write)
    let attempt = try AttemptEnvironment.read()
    request.attemptToken = attempt.token
    var settings = try attempt.settings()
    // `send` retries; a failed call should return soon.
    settings.limits.attemptsPerCall = 1
    let client = MendClient(attempt.endpoint, settings: settings)
    let answer: ReportResponse
    do {
      answer = try await Self.send(request, by: client)
      await client.close()
    } catch {
      await client.close()
      if error.code == .aborted || error.code == .unauthenticated {
        throw ProgramError(.refused, "this attempt is no longer the current one; end it (\(error.message))")
      }
      throw ProgramError(ofAttempt: error, server: client.server)
    }
    if format.output != .table { try format.output.print(answer) { _ in "" } }
    if answer.stop { throw ProgramError(.refused, "this attempt is being cancelled; end it") }
  }

  /// Sends the report, and waits while the server restarts; an untrusted certificate is not waited for.
  private static func send(_ request: ReportRequest, by client: MendClient) async throws(MendError) -> ReportResponse {
    let deadline = ContinuousClock.now + .seconds(10)
    var backoff = Backoff(from: .milliseconds(50), to: .seconds(1))
    while true {
      do throws(MendError) {
        return try await client.report(request)
      } catch {
        let pause = max(backoff.next(), error.details.retryAfter ?? .zero)
        guard error.code == .unavailable, error.connectionFault?.isOfTrust != true, .now + pause < deadline else {
          throw error
        }
        do { try await Task.sleep(for: pause) } catch { throw MendError(.cancelled, "mend report was told to end") }
      }
    }
  }

  static func failure(_ text: String) throws -> DocumentFailure {
    guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
      throw ProgramError.usage("--failed '\(text)' is not ID=CODE:MESSAGE")
    }
    let rest = text[text.index(after: equals)...]
    let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let code = parts.first, !code.isEmpty else {
      throw ProgramError.usage("--failed '\(text)' is not ID=CODE:MESSAGE")
    }
    var failure = DocumentFailure()
    failure.documentID = String(text[..<equals])
    failure.code = String(code)
    failure.message = parts.count > 1 ? String(parts[1]) : ""
    return failure
  }

  static func write(_ text: String) throws -> CollectionWrite {
    guard let equals = text.lastIndex(of: "="), equals > text.startIndex,
      let count = Int(text[text.index(after: equals)...]), (0...ValueLimit.count).contains(count)
    else { throw ProgramError.usage("--written '\(text)' is not COLLECTION=N with N from 0 to \(ValueLimit.count)") }
    var write = CollectionWrite()
    write.collectionID = String(text[..<equals])
    write.documentCount = Int64(count)
    return write
  }
}
