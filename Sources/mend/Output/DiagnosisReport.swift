import MendAPI
import MendProtobuf

/// Diagnose's answer as a report: the state, then what is wrong with its evidence, then what to do.
enum DiagnosisReport {
  static func text(_ answer: DiagnoseResponse) -> String {
    var sections = [headline(answer), tiers(answer)]
    if !answer.findings.isEmpty { sections.append(findings(answer.findings)) }
    if !answer.failedDocumentsSample.isEmpty { sections.append(failedDocuments(answer)) }
    if !answer.insights.isEmpty { sections.append(insights(answer.insights)) }
    if !answer.collections.isEmpty { sections.append(collections(answer.collections)) }
    if let performance = answer.performanceSummary { sections.append(self.performance(performance)) }
    // A recommendation says what a finding's remedy is, and its command. Either of them alone adds nothing.
    let remedies = answer.findings.compactMap(\.remedy)
    let said = Set(remedies.map(\.command) + remedies.map(\.description))
    let bare = answer.nextActions.filter { !said.contains($0) }
    let next = unique(answer.recommendations + bare)
    if !next.isEmpty { sections.append("What to do\n" + next.map { "  \($0)\n" }.joined()) }
    return sections.joined(separator: "\n")
  }

  private static func headline(_ answer: DiagnoseResponse) -> String {
    let name = answer.batchName.isEmpty ? "" : " (\(answer.batchName))"
    var text = "\(answer.batchID)\(name)  \(Wording.name(answer.status).uppercased())"
    var health = "health \(Wording.name(answer.health))"
    if answer.healthReason != .unspecified, answer.healthReason != .none {
      health += " (\(Wording.name(answer.healthReason)))"
    }
    text += "  \(health)\n"
    if let reason = answer.blockedReason { text += "  \(reason)\n" }
    if let stuck = answer.stuckSeconds { text += "  no progress for \(Wording.duration(stuck))\n" }
    if let queue = answer.queue, answer.blockedReason == nil { text += "  \(queue.waitingFor)\n" }
    if let estimate = answer.estimate, estimate.p50 != nil {
      text +=
        "  done about \(Wording.time(estimate.p50)) UTC, nine times in ten by \(Wording.time(estimate.p90)) UTC: "
        + "\(estimate.basis)\n"
    }
    if answer.failureCategory != .unspecified {
      // Only this category: an attempt may also have failed for a reason that a later attempt overcame.
      let causes = answer.findings.filter {
        $0.category == answer.failureCategory && FailureCause(name: $0.cause) != nil
      }
      let kinds = unique(causes.map(\.cause)).joined(separator: ", ")
      text += "  failure category \(Wording.name(answer.failureCategory))\(kinds.isEmpty ? "" : ": \(kinds)")\n"
    }
    text +=
      "  \(Wording.bar(answer.overallProgress, width: 24)) \(Wording.processed(answer.overallProgress, answer.status)) processed"
    text += "  \(Wording.count(answer.totalObjects, "document"))"
    if answer.failedDocumentCount > 0 { text += ", \(answer.failedDocumentCount) failed" }
    if let duration = answer.durationSeconds {
      text += "  \(Wording.duration(duration))\(Wording.span(answer.spanSeconds ?? 0, around: duration))"
    }
    if answer.repeatedWorkCount > 0 { text += "  \(answer.repeatedWorkCount) done more than once" }
    return text + "\n"
  }

  private static func tiers(_ answer: DiagnoseResponse) -> String {
    var table = Table(
      ("TIER", .right), ("JOB", .left), ("EXTRACTOR", .left), ("STATUS", .left), ("DONE", .right), ("FAILED", .right),
      ("ATTEMPTS", .right), ("MEMORY", .right), ("PEAK", .right), ("WHY", .left))
    for tier in answer.tiers {
      let total = tier.progress?.totalDocuments ?? 0
      table.add(
        String(tier.tierNum), "", "", Wording.name(tier.status), "\(tier.progress?.processedDocuments ?? 0)/\(total)",
        count(tier.progress?.failedDocuments ?? 0), "", "", "", (tier.error ?? "").clipped(to: 60))
      for job in tier.jobs {
        let last = job.attempts.last
        let parameters = last?.submissionParams ?? job.submissionParams
        let peak = job.attempts.compactMap { $0.exit?.peakMemoryBytes }.max() ?? 0
        table.add(
          "", job.jobID, job.extractorName, Wording.name(job.status),
          "\(job.completedDocuments + job.failedDocuments)/\(job.totalDocuments)", count(job.failedDocuments),
          count(Int64(job.attempts.count)), bytes(parameters?.memoryBytes ?? 0), bytes(peak), cause(job))
      }
    }
    return "Tiers\n" + table.text(indent: 2)
  }

  private static func cause(_ job: JobDiagnostic) -> String {
    if job.failureCause != .unspecified {
      return "\(Wording.name(job.failureCategory)): \(Wording.name(job.failureCause))"
    }
    if let error = job.error { return error.clipped(to: 60) }
    // The status of a job that is over already says why.
    let isOpen = [.pending, .starting, .running].contains(job.status)
    guard isOpen, let last = job.attempts.last, !last.endedBy.isEmpty else { return "" }
    return "attempt \(last.attempt) \(last.state == .ended ? "was" : "is being") ended: \(last.endedBy)"
  }

  private static func findings(_ findings: [Finding]) -> String {
    var text = "Findings\n"
    for (index, finding) in findings.enumerated() {
      var kind = finding.cause
      if finding.category != .unspecified { kind = "\(Wording.name(finding.category)): \(kind)" }
      var place = ""
      if !finding.jobID.isEmpty {
        place = " at \(finding.jobID)" + (finding.attempt > 0 ? ", attempt \(finding.attempt)" : "")
      } else if let tier = finding.tierNum {
        place = " at tier \(tier)"
      }
      let confidence =
        finding.confidence == .unspecified ? "" : ", confidence \(Wording.name(finding.confidence))"
      text += "  \(index + 1). \(kind)\(place)\(confidence)\n     \(finding.message)\n"
      if !finding.documentIDs.isEmpty {
        text += "     documents: \(finding.documentIDs.joined(separator: ", "))\n"
      }
      if !finding.evidence.isEmpty { text += "     Evidence\n" }
      for evidence in finding.evidence { text += self.evidence(evidence, indent: "       ") }
      if let remedy = finding.remedy {
        text += "     Remedy: \(remedy.description)\n"
        if !remedy.command.isEmpty { text += "       $ \(remedy.command)\n" }
      }
    }
    return text
  }

  /// The width of evidence. A command's last line may have thousands of characters; JSON output has all of them.
  private static let evidenceWidth = 240

  /// One line of evidence, and a second one with its figures.
  static func evidence(_ evidence: Evidence, indent: String) -> String {
    let figures = evidence.values.sorted { $0.key < $1.key }.map { name, value in
      if name.hasSuffix("_bytes"), let bytes = Int64(value), bytes > 0 { return "\(name)=\(value) (\(Size(bytes)))" }
      return "\(name)=\(value.clipped(to: evidenceWidth))"
    }
    var text =
      "\(indent)\(evidence.observed.clipped(to: evidenceWidth))  [\(evidence.observer), \(Wording.time(evidence.at)) UTC]\n"
    if !figures.isEmpty { text += "\(indent)  \(figures.joined(separator: ", "))\n" }
    return text
  }

  private static func failedDocuments(_ answer: DiagnoseResponse) -> String {
    var table = Table(("DOCUMENT", .left), ("CODE", .left), ("MESSAGE", .left), ("FILE", .left))
    for document in answer.failedDocumentsSample {
      table.add(
        document.documentID.isEmpty ? document.jobID : document.documentID, document.error?.code ?? "",
        (document.error?.message ?? "").clipped(to: 60), document.filePath.clipped(to: 60))
    }
    let shown = answer.failedDocumentsSample.count
    let title =
      Int64(shown) < answer.failedDocumentCount
      ? "Failed documents (\(shown) of \(answer.failedDocumentCount))" : "Failed documents"
    return "\(title)\n" + table.text(indent: 2)
  }

  private static func insights(_ insights: [PerformanceInsight]) -> String {
    var text = "Insights\n"
    for insight in insights {
      text += "  \(Wording.name(insight.severity)): \(insight.message)\n"
      if !insight.recommendation.isEmpty { text += "    \(insight.recommendation)\n" }
    }
    return text
  }

  private static func collections(_ collections: [CollectionDiagnostic]) -> String {
    var table = Table(("COLLECTION", .left), ("STATUS", .left), ("WRITTEN", .right), ("EXPECTED", .right))
    for collection in collections {
      table.add(
        collection.collectionID, collection.status, String(collection.documentCount),
        String(collection.expectedDocuments))
    }
    return "Collections\n" + table.text(indent: 2)
  }

  private static func performance(_ summary: PerformanceSummary) -> String {
    let (took, span) = (summary.totalDurationSeconds, summary.spanSeconds)
    var parts = ["took \(Wording.duration(took))\(Wording.span(span, around: took))"]
    if summary.documentsPerSecond > 0 {
      parts.append("\(Wording.decimal(summary.documentsPerSecond)) documents a second")
    }
    if summary.queueSeconds >= 1 { parts.append("queued \(Wording.duration(summary.queueSeconds))") }
    if summary.peakMemoryBytes > 0 { parts.append("peak memory \(Size(summary.peakMemoryBytes))") }
    if summary.attempts > 0 { parts.append(Wording.count(summary.attempts, "attempt")) }
    var text = "Performance\n  \(parts.joined(separator: ", "))\n"
    let stages = summary.stages.map { "\($0.name) \(Wording.duration($0.durationSeconds))" }
    if !stages.isEmpty { text += "  stages: \(stages.joined(separator: ", "))\n" }
    return text
  }

  private static func count(_ value: Int64) -> String { value == 0 ? "" : String(value) }

  private static func bytes(_ value: Int64) -> String { value > 0 ? Size(value).description : "" }

  private static func unique(_ texts: [String]) -> [String] {
    var seen: Set<String> = []
    return texts.filter { seen.insert($0).inserted }
  }
}
