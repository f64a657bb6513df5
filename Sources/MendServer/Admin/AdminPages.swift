import MendRuntime

/// The pages of the admin port: /healthz, /readyz, /metrics.
struct AdminPages: Sendable {
  struct Page: Sendable, Hashable {
    var status: Int
    var contentType: String
    var body: String

    static func plain(_ status: Int, _ body: String) -> Page {
      Page(status: status, contentType: "text/plain; charset=utf-8", body: body + "\n")
    }
  }

  let version: String
  let calls: CallMetrics
  let statistics: @Sendable () -> RuntimeStatistics
  /// Why calls are not being served, or not all of them, or nil.
  let notReady: @Sendable () -> String?

  /// - Parameter path: without a query.
  func page(_ path: String) -> Page {
    switch path {
    case "/healthz": return .plain(200, "ok")
    case "/readyz": return notReady().map { .plain(503, $0) } ?? .plain(200, "ready")
    case "/metrics":
      return Page(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: metrics())
    default: return .plain(404, "not found; the pages are /healthz, /readyz and /metrics")
    }
  }

  private func metrics() -> String {
    var text = PrometheusWriter()
    text.family("mend_build_info", .gauge, "Always 1; the version is a label.")
    text.sample(["version": version], 1)
    text.gauge("mend_ready", "1 while calls are served, all of them.", notReady() == nil ? 1 : 0)
    calls.write(to: &text)
    write(statistics(), to: &text)
    if let bytes = ProcessFigures.residentBytes() {
      text.gauge("process_resident_memory_bytes", "Resident memory.", Double(bytes))
    }
    if let seconds = ProcessFigures.cpuSeconds() {
      text.counter("process_cpu_seconds_total", "User and system time.", seconds)
    }
    return text.text
  }

  private func write(_ statistics: RuntimeStatistics, to text: inout PrometheusWriter) {
    text.gauge("mend_batches_live", "Batches in memory: all that are not final.", Double(statistics.liveBatches))
    text.gauge(
      "mend_specification_bytes", "Memory that the specifications and jobs of these batches take.",
      Double(statistics.specificationBytes))
    text.gauge("mend_document_bytes", "Memory that their documents take.", Double(statistics.documentBytes))
    text.counter("mend_batches_created_total", "Batches made.", Double(statistics.batchesCreated))
    text.counter("mend_batches_retired_total", "Final batches that left memory.", Double(statistics.batchesRetired))
    text.gauge("mend_attempts_running", "Attempts that have not ended.", Double(statistics.runningAttempts))
    text.counter("mend_attempts_started_total", "Attempts started.", Double(statistics.attemptsStarted))
    text.counter("mend_attempts_failed_total", "Attempts that failed.", Double(statistics.attemptsFailed))
    text.counter(
      "mend_documents_committed_total", "Documents committed, per extractor.", Double(statistics.documentsCommitted))
    text.counter("mend_documents_failed_total", "Documents failed.", Double(statistics.documentsFailed))
    text.counter("mend_events_total", "Events that the core has processed.", Double(statistics.events))
    text.counter("mend_commits_total", "Transactions committed.", Double(statistics.commits))
    text.counter("mend_commit_seconds_total", "Time spent committing.", seconds(statistics.commitTime))
    text.counter("mend_journal_records_total", "Journal records written.", Double(statistics.records))
    text.gauge("mend_mailbox_depth", "Events that wait for the writer.", Double(statistics.mailboxDepth))
    text.gauge("mend_unanswered_calls", "Calls the core has not answered yet.", Double(statistics.unansweredCalls))
    text.counter("mend_refused_calls_total", "Calls refused at a limit.", Double(statistics.callsRefused))
    text.gauge(
      "mend_store_full", "1 while the journal cannot be written and changes are refused.",
      statistics.isStoreFull ? 1 : 0)
    text.gauge(
      "mend_journal_log_bytes", "Size of the journal's write-ahead log; it grows while an old state is being read.",
      Double(statistics.logBytes))
    text.gauge(
      "mend_batches_set_aside", "Batches that are set aside because their journals cannot be processed.",
      Double(statistics.batchesSetAside))
    text.gauge("mend_watchers", "Readers that wait for a batch to change.", Double(statistics.watchers))
  }

  private func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }
}
