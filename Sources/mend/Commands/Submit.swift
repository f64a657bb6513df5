import ArgumentParser
import Glibc
import MendAPI
import MendClient

struct Submit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Creates a batch from files or from JSON, and submits it.",
    discussion: """
      Each --tier runs its COMMAND once for each document, by /bin/sh. Tiers run one after the other. The command finds \
      the document in its environment: $MEND_PATH, $MEND_URI and $MEND_DOCUMENT_ID. Exit status 0 completes the document; \
      any other status fails it, with the last line of stderr as its message. Prints the batch's id. If the submission is \
      refused, the batch stays CREATED: nothing of it runs, and mend cancel discards it.

      On the server's machine a command runs in a directory of its job's own. The directory is empty at first and is \
      removed with the batch, so name programs and results by absolute paths. The environment has PATH, HOME, LANG, \
      LC_ALL, TZ and LD_LIBRARY_PATH of the server, TMPDIR, and what "env" of --spec adds; nothing else.

      EXAMPLES
        mend submit --tier 'words=wc -w < "$MEND_PATH" > "$MEND_PATH.words"' *.txt
        mend submit --name nightly --memory 512MiB \\
                    --tier 'check=test -s "$MEND_PATH"' \\
                    --tier 'sum=sha256sum "$MEND_PATH" > "$MEND_PATH.sha"' data/*.txt
        mend submit --spec batch.json
        mend submit --spec batch.json --deployment-mode ray
        generate-batch | mend submit --spec -
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Option(help: ArgumentHelp("Read the batch as JSON from a file, or from standard input.", valueName: "FILE|-"))
  var spec: String?

  @Option(help: ArgumentHelp("Where the documents come from.", valueName: "id"))
  var bucket: String?

  @Option(help: ArgumentHelp("A name for people.", valueName: "name"))
  var name: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("0 to 100; higher runs first; default 50.", valueName: "number"))
  var priority: Int32?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Documents in process at once; 0 is no limit.", valueName: "number"))
  var maxConcurrent: Int32?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The longest that the batch may take; 0 is no limit.", valueName: "seconds"))
  var timeout: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Memory of one job, such as 512MiB. A job that exceeds it is ended.", valueName: "size"),
    transform: Size.option)
  var memory: Size?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("CPUs of one job. It runs as many commands at once.", valueName: "number"))
  var cpus: Double?

  @Flag(help: "Each job needs a GPU.")
  var gpu = false

  @Flag(
    help: ArgumentHelp(
      "Heal the batch automatically, as mend heal --action auto does: restart stuck jobs, give more memory."))
  var autoHeal = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How often --auto-heal may act; default 5.", valueName: "number"))
  var autoHealBudget: Int32?

  @Option(
    help: ArgumentHelp(
      "The executor that runs the batch: local, ray or simulated; default: the server's --executor.",
      valueName: "name"))
  var deploymentMode: ExecutorName?

  @Option(
    help: ArgumentHelp(
      "A tier: its name, and the command for each document. Repeatable, in order.", valueName: "NAME=COMMAND")
  )
  var tier: [String] = []

  @Option(help: ArgumentHelp("The batch's id; default: a random one.", valueName: "id"))
  var batchID: String?

  @Flag(help: "Show progress on stderr until the batch is over. Exit with 0 only if every document was completed.")
  var wait = false

  @Argument(help: ArgumentHelp("The documents.", valueName: "FILE"))
  var files: [String] = []

  func run() async throws {
    var request = try spec.map { try fromSpecification($0) } ?? fromFiles()
    if let deploymentMode { request.batch?.deploymentMode = deploymentMode.deploymentMode }
    try await client.withClient { client in
      let submitted = try await submit(request, client)
      switch format.output {
      case .table: Standard.output(submitted.batchID + "\n", orSay: "batch \(submitted.batchID) is submitted")
      case .json, .jsonl: try format.output.print(submitted) { _ in "" }
      }
      if wait { try await BatchWait.run(submitted.batchID, client) }
    }
  }

  private func submit(_ request: CreateBatchRequest, _ client: MendClient) async throws -> SubmitBatchResponse {
    // Chosen here, so that the batch can be found if the answer is lost. With the caller's own key the request has to
    // stay the same as the first time.
    var request = request
    let key = request.idempotencyKey
    if request.batchID.isEmpty, key.isEmpty { request.batchID = BatchName.random() }
    let batchID: String
    do {
      batchID = try await client.createBatch(request).batchID
    } catch {
      throw await interrupted(error, request, client)
    }
    do {
      return try await client.submitBatch(
        batchID, idempotencyKey: key.isEmpty ? "" : MendClient.idempotencyKey("submit", after: key))
    } catch {
      throw await interrupted(error, request, client)
    }
  }

  /// The error, with the state of the batch if it was created only in part.
  private func interrupted(
    _ error: MendError, _ request: CreateBatchRequest, _ client: MendClient
  ) async -> ProgramError {
    var failure = ProgramError(error, server: client.server)
    switch error.code {
    case .alreadyExists, .invalidArgument, .unauthenticated, .permissionDenied:
      return failure
    case .unavailable:
      // The first call did not reach a server, so nothing was created.
      if !error.isCertainlyNotDone || request.documents.count > client.settings.limits.documentsPerCall {
        failure.message += "\nif batch \(request.batchID) was made, it stays CREATED: nothing of it runs"
      }
      return failure
    default:
      break
    }
    var get = GetBatchRequest()
    get.batchID = request.batchID
    get.metricsOnly = true
    guard let left = try? await client.getBatch(get) else { return failure }
    failure.message +=
      "\nbatch \(request.batchID) stays CREATED with \(left.progress?.total ?? 0) of \(request.documents.count) documents; "
      + "nothing runs; mend cancel \(request.batchID) discards it"
    return failure
  }

  private func fromSpecification(_ source: String) throws -> CreateBatchRequest {
    guard files.isEmpty, tier.isEmpty, bucket == nil, name == nil, priority == nil, maxConcurrent == nil,
      timeout == nil, memory == nil, cpus == nil, !gpu, !autoHeal, autoHealBudget == nil
    else {
      throw ProgramError.usage(
        "--spec has the whole batch: put tiers, documents and settings into it, and leave the other options out")
    }
    var request = try BatchSpecificationFile.read(source)
    if let batchID { request.batchID = batchID }
    return request
  }

  private func fromFiles() throws -> CreateBatchRequest {
    guard !tier.isEmpty else { throw ProgramError.usage("a batch needs a --tier 'NAME=COMMAND', or --spec FILE") }
    guard !files.isEmpty else { throw ProgramError.usage("a batch needs at least one FILE, or --spec FILE") }
    var request = CreateBatchRequest()
    request.batchID = batchID ?? ""
    var batch = BatchSpecification()
    batch.bucketID = bucket ?? ""
    batch.batchName = name ?? ""
    batch.priority = priority
    batch.maxConcurrent = maxConcurrent ?? 0
    batch.timeoutSeconds = timeout ?? 0
    if autoHeal {
      var policy = AutoHeal()
      policy.enabled = true
      policy.maxHeals = autoHealBudget ?? 0
      batch.autoHeal = policy
    } else if autoHealBudget != nil {
      throw ProgramError.usage("--auto-heal-budget needs --auto-heal")
    }
    batch.tiers = try tier.map { text throws in
      var tier = TierSpecification()
      tier.extractors = [try extractor(text)]
      return tier
    }
    request.batch = batch
    request.documents = try FileDocuments.documents(of: FileArgument.all(of: files))
    return request
  }

  private func extractor(_ text: String) throws -> ExtractorSpecification {
    guard let equals = text.firstIndex(of: "="), equals > text.startIndex, text.index(after: equals) < text.endIndex
    else {
      throw ProgramError.usage("--tier '\(text)' is not NAME=COMMAND, such as 'words=wc -w < \"$MEND_PATH\"'")
    }
    if let cpus, !(cpus > 0 && cpus.isFinite) { throw ProgramError.usage("--cpus must be above 0") }
    var extractor = ExtractorSpecification()
    extractor.extractorName = String(text[..<equals])
    extractor.documentCommand = String(text[text.index(after: equals)...])
    extractor.numCpus = cpus ?? 0
    extractor.memoryBytes = memory?.bytes ?? 0
    extractor.requiresGpu = gpu
    return extractor
  }
}

/// Random ids for batches without one.
enum BatchName {
  /// `batch-` and 12 letters and digits.
  static func random() -> String { "batch-" + MendClient.randomIdempotencyKey().prefix(12) }
}
