import ArgumentParser
import MendAPI
import MendClient

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows a batch's progress, times, documents and errors.",
    discussion: """
      EXAMPLES
        mend status BATCH
        mend status BATCH --include-job-details -o json
        mend status BATCH --metrics-only -o jsonl
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Flag(help: "Every document with its state, times and error.")
  var includeJobDetails = false

  @Flag(help: "Only progress and timing.")
  var metricsOnly = false

  @Flag(help: "Leave errors out.")
  var noErrors = false

  @Option(help: ArgumentHelp("Only these top-level fields of the answer.", valueName: "a,b"))
  var fields: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Documents on a page; with this option only one page is fetched.", valueName: "number"))
  var pageSize: Int32?

  @Option(help: ArgumentHelp("The next_page_token of the previous page.", valueName: "token"))
  var pageToken: String?

  func run() async throws {
    var request = GetBatchRequest()
    request.batchID = batch
    request.includeJobDetails = includeJobDetails
    request.metricsOnly = metricsOnly
    request.includeErrors = !noErrors
    if let fields {
      var mask = GoogleFieldMask()
      mask.paths = fields.split(separator: ",").map { String($0.drop(while: { $0 == " " })) }
      request.fields = mask
    }
    request.pageSize = pageSize ?? (includeJobDetails ? 1000 : 0)
    request.pageToken = pageToken ?? ""
    let wantsAllPages = includeJobDetails && pageSize == nil && pageToken == nil
    let asked = request
    let answer = try await client.withClient { client throws in
      var answer = try await client.getBatch(asked)
      var next = asked
      while wantsAllPages, !answer.nextPageToken.isEmpty {
        next.pageToken = answer.nextPageToken
        let page = try await client.getBatch(next)
        answer.jobDetails += page.jobDetails
        answer.nextPageToken = page.nextPageToken
      }
      return answer
    }
    try format.output.print(answer, fields: shownFields(request.fields), table: StatusReport.text)
  }
}

extension Status {
  /// Nil means all fields.
  private func shownFields(_ mask: GoogleFieldMask?) -> Set<String>? {
    if let paths = mask?.paths, !paths.isEmpty {
      let shown = Set(paths).union(["batch_id"])
      return shown.contains("job_details") ? shown.union(["next_page_token"]) : shown
    }
    return metricsOnly ? ["batch_id", "progress", "timing", "metadata"] : nil
  }
}

/// GetBatch's answer as text for people.
enum StatusReport {
  static func text(_ answer: GetBatchResponse) -> String {
    var lines: [String] = []
    let name = answer.batchName.isEmpty ? "" : " (\(answer.batchName))"
    var headline = answer.batchID + name
    if answer.status != .unspecified { headline += "  " + Wording.name(answer.status).uppercased() }
    if answer.health != .unspecified, answer.health != .ok { headline += "  health \(Wording.name(answer.health))" }
    lines.append(headline)
    if let progress = answer.progress {
      lines.append(
        "  \(Wording.bar(progress.percentage, width: 24)) \(Wording.percentage(progress.percentage)) completed")
      lines.append(
        "  \(Wording.count(progress.total, "document")): \(progress.completed) completed, \(progress.failed) failed, "
          + "\(progress.pending) pending, \(progress.processing) in process")
    }
    if let timing = answer.timing { lines += Self.timing(timing).map { "  " + $0 } }
    if let configuration = answer.batchConfiguration {
      var parts = ["priority \(configuration.priority)", Wording.count(configuration.totalTiers, "tier")]
      if configuration.maxConcurrent > 0 { parts.append("at most \(configuration.maxConcurrent) at once") }
      if configuration.timeout > 0 { parts.append("timeout \(Wording.duration(configuration.timeout))") }
      if configuration.deploymentMode != .unspecified, configuration.deploymentMode != .local {
        parts.append("on \(Wording.name(configuration.deploymentMode))")
      }
      if !configuration.bucketID.isEmpty { parts.append("bucket \(configuration.bucketID)") }
      lines.append("  " + parts.joined(separator: ", "))
    }
    var text = lines.map { $0 + "\n" }.joined()
    if !answer.errorSummary.isEmpty { text += "\nErrors\n" + errors(answer.errorSummary) }
    if !answer.jobDetails.isEmpty { text += "\n" + documents(answer.jobDetails) }
    if !answer.nextPageToken.isEmpty { text += "\nMore: --page-token \(answer.nextPageToken)\n" }
    if answer.hasFailures { text += "\nWhy, and what to do: mend diagnose \(answer.batchID)\n" }
    return text
  }

  private static func timing(_ timing: Timing) -> [String] {
    var parts = ["created \(Wording.time(timing.createdAt))"]
    if timing.startedAt != nil { parts.append("started \(Wording.time(timing.startedAt))") }
    if timing.completedAt != nil { parts.append("ended \(Wording.time(timing.completedAt))") }
    var lines = [parts.joined(separator: ", ") + " UTC"]
    var figures: [String] = []
    if timing.elapsedTime > 0 {
      figures.append(
        "took \(Wording.duration(timing.elapsedTime))\(timing.completedAt == nil ? " so far" : "")"
          + Wording.span(timing.spanTime, around: timing.elapsedTime))
    }
    if let average = timing.averageItemTime { figures.append("\(Wording.duration(average)) a document") }
    if timing.estimatedCompletion != nil {
      figures.append("done about \(Wording.time(timing.estimatedCompletion)) UTC")
    }
    if !figures.isEmpty { lines.append(figures.joined(separator: ", ")) }
    return lines
  }

  static func errors(_ summary: [ErrorSummary]) -> String {
    var table = Table(("ERROR", .left), ("DOCUMENTS", .right), ("FOR EXAMPLE", .left), ("WHAT TO DO", .left))
    for error in summary {
      table.add(
        error.errorType, String(error.count), (error.affectedFiles.first ?? "").clipped(to: 40), error.resolution)
    }
    return table.text(indent: 2)
  }

  static func documents(_ details: [DocumentDetail]) -> String {
    var table = Table(
      ("DOCUMENT", .left), ("STATUS", .left), ("DONE", .right), ("ERROR", .left), ("FILE", .left))
    for detail in details {
      let error = detail.error.map { $0.message.isEmpty ? $0.code : "\($0.code): \($0.message)" } ?? ""
      table.add(
        detail.documentID.isEmpty ? detail.jobID : detail.documentID, Wording.name(detail.status),
        Wording.percentage(detail.progress), error.clipped(to: 60), detail.filePath)
    }
    return table.text()
  }
}
