import Foundation
import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime
import Testing

@testable import MendServer

/// Every field and parameter of the seed documents, where it is in the schema, and what shows it true.
@Suite("The seeds, field by field", .timeLimit(.minutes(1)))
struct SeedFieldTests {
  /// One a line: document and field | answer and path in it | what it is there: JSON, `~` contains, `>` above, `none`.
  /// Or `test`, and the sentence of the test that shows it.
  static let table = """
    get-batch-diagnostics batch_id | completed batch_id | "batch-abc123"
    get-batch-diagnostics batch_name | completed batch_name | "Monthly Reports Processing"
    get-batch-diagnostics status | completed status | "completed"
    get-batch-diagnostics bucket_id | completed bucket_id | "reports"
    get-batch-diagnostics current_tier | completed current_tier | 1
    get-batch-diagnostics total_tiers | completed total_tiers | 2
    get-batch-diagnostics overall_progress | completed overall_progress | 100
    get-batch-diagnostics created_at | completed created_at | ~2023-11-14T22:13:20
    get-batch-diagnostics submitted_at | completed submitted_at | ~2023-11-14T22:13:25
    get-batch-diagnostics started_at | completed started_at | ~2023-11-14T22:13:25
    get-batch-diagnostics completed_at | completed completed_at | ~2023-11-14T22:15
    get-batch-diagnostics duration_seconds | completed duration_seconds | > 120
    get-batch-diagnostics estimated_completion | running estimated_completion | ~2023-11-15T00:37
    get-batch-diagnostics tiers[].tier_num | completed tiers[1].tier_num | 1
    get-batch-diagnostics tiers[].status | completed tiers[0].status | "completed"
    get-batch-diagnostics tiers[].task_id | completed tiers[0].task_id | "batch-abc123/0"
    get-batch-diagnostics tiers[].started_at | completed tiers[0].started_at | ~2023-11-14T22:13:25
    get-batch-diagnostics tiers[].completed_at | completed tiers[0].completed_at | ~2023-11-14T22:15
    get-batch-diagnostics tiers[].duration_seconds | completed tiers[0].duration_seconds | > 120
    get-batch-diagnostics tiers[].progress.processed_documents | running tiers[0].progress.processed_documents | 3
    get-batch-diagnostics tiers[].progress.total_documents | running tiers[0].progress.total_documents | 10
    get-batch-diagnostics tiers[].progress.percentage | running tiers[0].progress.percentage | 30
    get-batch-diagnostics tiers[].ray_job_id | running tiers[0].ray_job_id | "raysubmit_abc"
    get-batch-diagnostics tiers[].ray_dashboard_url | running tiers[0].ray_dashboard_url | "http://ray-head:8265/#/jobs/raysubmit_abc"
    get-batch-diagnostics tiers[].ray_job_status | scaling tiers[0].ray_job_status | "PENDING"
    get-batch-diagnostics tiers[].error | failed tiers[0].error | ~out of memory
    get-batch-diagnostics tiers[].error_type | failed tiers[0].error_type | "oom"
    get-batch-diagnostics tiers[].requires_gpu | running tiers[0].requires_gpu | true
    get-batch-diagnostics collections[].collection_id | completed collections[0].collection_id | "texts"
    get-batch-diagnostics collections[].collection_name | completed collections[0].collection_name | "texts"
    get-batch-diagnostics collections[].status (9 of 10 written) | completed collections[0].status | "incomplete"
    get-batch-diagnostics collections[].document_count | completed collections[0].document_count | 9
    get-batch-diagnostics collections[].expected_documents | completed collections[0].expected_documents | 10
    get-batch-diagnostics performance_summary (after completion only) | running performance_summary | none
    get-batch-diagnostics performance_summary: duration | completed performance_summary.total_duration_seconds | > 120
    get-batch-diagnostics performance_summary: throughput | completed performance_summary.documents_per_second | > 0.05
    get-batch-diagnostics performance_summary: time per stage | completed performance_summary.stages[1].duration_seconds | 90.3
    get-batch-diagnostics performance_summary: slowest tier | completed performance_summary.slowest_tier | 0
    get-batch-diagnostics performance_summary: slowest tier, not the first | test | The slowest tier and extractor of a completed batch are named
    get-batch-diagnostics performance_summary: slowest tier, as told | test | the slowest tier of a summary is told by its number
    get-batch-diagnostics performance_summary: slowest extractor | completed performance_summary.slowest_extractor | "universal_extractor_v1"
    get-batch-diagnostics performance_summary: repeated work | completed performance_summary.repeated_work_count | 1
    get-batch-diagnostics performance_summary: cost of repeated work | completed performance_summary.repeated_work_seconds | > 20
    get-batch-diagnostics performance_summary: failed attempts | completed performance_summary.failed_attempts | 1
    get-batch-diagnostics performance_summary: peak memory | completed performance_summary.peak_memory_bytes | 9663676416
    get-batch-diagnostics insights[].type | completed insights[0].type | "stage_bottleneck"
    get-batch-diagnostics insights[].severity | completed insights[0].severity | "info"
    get-batch-diagnostics insights[].message | completed insights[0].message | ~processing takes 89 % of the time
    get-batch-diagnostics insights[].stage | completed insights[0].stage | "processing"
    get-batch-diagnostics insights[].metric_value | completed insights[0].metric_value | > 0.89
    get-batch-diagnostics insights[].recommendation | completed insights[0].recommendation | ~Give it more CPUs
    get-batch-diagnostics has_failures | completed has_failures | true
    get-batch-diagnostics failed_tier_count | failed failed_tier_count | 1
    get-batch-diagnostics health ok | running health | "ok"
    get-batch-diagnostics health scaling | scaling health | "scaling"
    get-batch-diagnostics health stuck | stuck health | "stuck"
    get-batch-diagnostics health degraded | completed health | "degraded"
    get-batch-diagnostics blocked_reason (scaling) | scaling blocked_reason | ~cluster_cold_start: GPU workers scaling from zero
    get-batch-diagnostics blocked_reason (stuck) | stuck blocked_reason | ~1200 s is its window
    get-batch-diagnostics blocked_reason (ok) | running blocked_reason | none
    get-batch-diagnostics blocked_reason (degraded) | completed blocked_reason | none
    get-batch-diagnostics stuck_seconds (stuck) | stuck stuck_seconds | > 1260
    get-batch-diagnostics stuck_seconds (not stuck) | running stuck_seconds | none
    get-batch-diagnostics total_objects | running total_objects | 10
    get-batch-diagnostics next_actions | failed next_actions[0] | ~mend retry batch-abc123 --tier 0
    get-batch-diagnostics authorization: Bearer <token> | test | no token, an unknown one and another scheme are unauthenticated
    get-batch-diagnostics batch_id (path parameter) | test | a foreign batch is answered exactly as an unknown one
    troubleshooting-guide status | failed status | "failed"
    troubleshooting-guide failure_category | failed failure_category | "infrastructure"
    troubleshooting-guide failure_category (nothing failed) | running failure_category | none
    troubleshooting-guide infrastructure_events[].type | completed infrastructure_events[0].type | "oom"
    troubleshooting-guide infrastructure_events: preemption, node failures, Ray bugs | test | Every cause is named
    troubleshooting-guide failure_category: timeout, orphaned, pipeline | test | Every cause is named
    troubleshooting-guide failed_documents_sample: the first 10 | test | Failed documents are grouped by code, counted once each, with their first ten and a resolution
    troubleshooting-guide infrastructure_events[].at | completed infrastructure_events[0].at | ~2023-11-14T22:13:46
    troubleshooting-guide failed_document_count | failed failed_document_count | 5
    troubleshooting-guide failed_documents_sample | completed failed_documents_sample[0].document_id | "d9"
    troubleshooting-guide failed_documents_sample error details | completed failed_documents_sample[0].error.message | "Unsupported file format"
    troubleshooting-guide recommendations | failed recommendations[0] | ~of memory: it needs at least the 9 GiB
    troubleshooting-guide per_tier timing | completed tiers[1].duration_seconds | > 1
    troubleshooting-guide last_activity_at | stale tiers[0].last_activity_at | ~2023-11-14T22:35
    troubleshooting-guide stuck job: beats without progress | stale health_reason | "no_progress"
    troubleshooting-guide heal detect_stuck is recommended | stale next_actions[0] | "mend heal batch-abc123 --action detect-stuck --tier 0"
    troubleshooting-guide cancel the stuck tier is named | stale next_actions[1] | ~mend cancel batch-abc123 --tier 0
    troubleshooting-guide oom: retry with more resources | failed findings[0].remedy.retry.memory_bytes | 17179869184
    troubleshooting-guide submission_params.entrypoint | running tiers[0].submission_params.entrypoint | "python -m engine.pipelines.entrypoint"
    troubleshooting-guide submission_params.deployment_mode | running tiers[0].submission_params.deployment_mode | "ray"
    troubleshooting-guide submission_params.requires_gpu | running tiers[0].submission_params.requires_gpu | true
    troubleshooting-guide submission_params.num_cpus | running tiers[0].submission_params.num_cpus | 1
    troubleshooting-guide submission_params.memory_bytes | running tiers[0].submission_params.memory_bytes | 8589934592
    troubleshooting-guide submission_params.priority | running tiers[0].submission_params.priority | 100
    troubleshooting-guide submission_params.plugin_archives (none) | running tiers[0].submission_params.plugin_archives[0] | none
    troubleshooting-guide submission_params.extractor_name | running tiers[0].submission_params.extractor_name | "universal_extractor_v1"
    troubleshooting-guide progress.stage_history[].name | completed tiers[0].progress.stage_history[2].name | "writing"
    troubleshooting-guide progress.stage_history[].duration_seconds | completed tiers[0].progress.stage_history[0].duration_seconds | 2.5
    troubleshooting-guide X-Namespace | test | a token opens its namespace and no other, * opens all
    troubleshooting-guide retry requires_gpu, priority | test | a retry hands out what is not committed, with the changed resources
    troubleshooting-guide heal action | test | heal needs an action
    troubleshooting-guide heal action detect_stuck | test | Detecting stuck plans a restart of each attempt that both looks found stuck
    troubleshooting-guide heal kill_duplicates | test | A duplicate launch is a finding, and its plan ends it and leaves the current attempt
    troubleshooting-guide cancel a tier | test | a cancelled tier's jobs are ended, and no other tier's
    troubleshooting-guide cancel a single job | test | one job of several is cancelled by its id
    get-batch-status batch_id (path parameter) | test | an id that is none is answered in the seeds' words
    get-batch-status include_job_details | test | without the flag there are no documents
    get-batch-status metrics_only | test | metrics_only is progress and timing
    get-batch-status include_errors | test | a document's line has the seeds' fields, and its error where errors are wanted
    get-batch-status fields | test | a field mask leaves the named fields and the batch's id
    get-batch-status data.batch_id | status batch_id | "b1"
    get-batch-status data.batch_name | status batch_name | "Monthly Reports"
    get-batch-status data.status | status status | "running"
    get-batch-status data.progress.percentage | status progress.percentage | 20
    get-batch-status data.progress.completed | status progress.completed | 2
    get-batch-status data.progress.failed | status progress.failed | 1
    get-batch-status data.progress.pending | status progress.pending | 6
    get-batch-status data.progress.processing | status progress.processing | 1
    get-batch-status data.progress.total | status progress.total | 10
    get-batch-status data.timing.created_at | status timing.created_at | ~T
    get-batch-status data.timing.started_at | status timing.started_at | ~T
    get-batch-status data.timing.updated_at | status timing.updated_at | ~T
    get-batch-status data.timing.completed_at (not yet) | status timing.completed_at | none
    get-batch-status data.timing.completed_at | final timing.completed_at | ~T
    get-batch-status data.timing.estimated_completion | status timing.estimated_completion | ~T
    get-batch-status data.timing.estimated_completion (over) | final timing.estimated_completion | none
    get-batch-status data.timing.elapsed_time | status timing.elapsed_time | > 0
    get-batch-status data.timing.average_item_time | status timing.average_item_time | > 0
    get-batch-status data.job_details[].job_id | status job_details[0].job_id | "d0"
    get-batch-status data.job_details[].file_path | status job_details[0].file_path | "/srv/in box/d0.pdf"
    get-batch-status data.job_details[].media_type | status job_details[0].media_type | "document"
    get-batch-status data.job_details[].status | status job_details[0].status | "completed"
    get-batch-status data.job_details[].progress | status job_details[0].progress | 100
    get-batch-status data.job_details[].started_at | status job_details[0].started_at | ~T
    get-batch-status data.job_details[].completed_at | status job_details[0].completed_at | ~T
    get-batch-status data.job_details[].error.message | status job_details[2].error.message | "Unsupported file format"
    get-batch-status data.job_details[].error.code | status job_details[2].error.code | "format_error"
    get-batch-status data.job_details[].error.details | status job_details[2].error.details.format | ".xlsx"
    get-batch-status data.error_summary[].error_type | status error_summary[0].error_type | "format_error"
    get-batch-status data.error_summary[].count | status error_summary[0].count | 1
    get-batch-status data.error_summary[].affected_files | status error_summary[0].affected_files[0] | "/srv/in box/d2.pdf"
    get-batch-status data.error_summary[].resolution | status error_summary[0].resolution | "Ensure file is in a supported format"
    get-batch-status data.batch_configuration.max_concurrent | status batch_configuration.max_concurrent | 5
    get-batch-status data.batch_configuration.priority | status batch_configuration.priority | 50
    get-batch-status data.batch_configuration.timeout | status batch_configuration.timeout | 3600
    get-batch-status data.batch_configuration.notification_enabled | status batch_configuration.notification_enabled | true
    get-batch-status metadata.request_id | status metadata.request_id | ~-
    get-batch-status metadata.api_version | status metadata.api_version | "1.0.0"
    get-batch-status metadata.cache_ttl | final metadata.cache_ttl | 30
    get-batch-status metadata.cache_remaining | final metadata.cache_remaining | 30
    get-batch-status status values: running, completed | test | a batch's whole life through the wire
    get-batch-status status values: created | test | a field mask leaves the named fields and the batch's id
    get-batch-status status values: paused | test | a pause and its end say the batch's status
    get-batch-status status values: cancelled | test | a cancel answers when everything is gone, with how it went; again it answers that nothing was to end
    get-batch-status status values: failed | failed status | "failed"
    get-batch-status validation_error | test | an id that is none is answered in the seeds' words
    get-batch-status not_found | test | an unknown batch is named with its namespace
    get-batch-status processing_error | test | an internal fault tells the operation and where to look, never the inside
    """

  struct Row: Hashable {
    var field: String
    var place: String
    var expected: String

    init?(_ line: Substring) {
      let parts = line.components(separatedBy: " | ")
      guard parts.count == 3 else { return nil }
      (field, place, expected) = (parts[0], parts[1], parts[2])
    }

    func holds(_ value: JSONValue?) -> Bool {
      if expected == "none" { return value == nil }
      guard let value else { return false }
      switch expected.first {
      case "~":
        if case .string(let text) = value { return text.contains(expected.dropFirst()) }
        return false
      case ">":
        guard let floor = Double(expected.dropFirst(2)) else { return false }
        switch value {
        case .integer(let number): return Double(number) > floor
        case .number(let number): return number > floor
        default: return false
        }
      default:
        if let number = Double(expected) {
          return value == .number(number) || Int64(exactly: number).map { value == .integer($0) } ?? false
        }
        return value.compact() == expected
      }
    }
  }

  static let rows = table.split(separator: "\n").compactMap { Row($0) }

  @Test("Each field has its place, and says there what is so")
  func fields() async throws {
    #expect(Self.rows.count == Self.table.split(separator: "\n").count)
    let scripted = try SeedAnswers().answers
    try await Harness.run { harness in
      var answers = scripted
      for (name, answer) in try await Self.statuses(harness) { answers[name] = answer }
      for row in Self.rows where row.place != "test" {
        let parts = row.place.split(separator: " ")
        let answer = try #require(answers[String(parts[0])], "\(row)")
        let value = answer.value(at: String(parts[1]))
        #expect(row.holds(value), "\(row.field): \(parts[1]) is \(value?.compact() ?? "nothing"), not \(row.expected)")
      }
    }
  }

  @Test("The tests that the table names are there")
  func tests() throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    var text = ""
    for folder in ["MendServerTests", "MendCoreTests", "MendCoreTests/Step"] {
      let files = try FileManager.default.contentsOfDirectory(
        at: tests.appending(path: folder), includingPropertiesForKeys: nil)
      for file in files where file.pathExtension == "swift" && file.lastPathComponent != "SeedFieldTests.swift" {
        text += try String(contentsOf: file, encoding: .utf8)
      }
    }
    for row in Self.rows where row.place == "test" {
      #expect(text.contains("\"\(row.expected)\""), "\(row.field): no test says: \(row.expected)")
    }
  }

  /// GetBatch of a running batch, and of one that is over.
  private static func statuses(_ harness: Harness) async throws -> [String: JSONValue] {
    var creation = Harness.creation("b1", documents: 10)
    creation.batch?.maxConcurrent = 5
    creation.batch?.timeoutSeconds = 3600
    creation.batch?.notificationEnabled = true
    _ = try await harness.batches.createBatch(creation, context: harness.context(Batches.Methods.createBatch))
    var submission = SubmitBatchRequest()
    submission.batchID = "b1"
    _ = try await harness.batches.submitBatch(submission, context: harness.context(Batches.Methods.submitBatch))
    let job = JobID(tier: 0, index: 0)
    let token = await harness.token("b1", job)
    _ = try await harness.claim(token, 4)
    var report = ReportRequest()
    report.attemptToken = token
    report.completed = ["d0", "d1"]
    var failure = DocumentFailure()
    failure.documentID = "d2"
    failure.code = "format_error"
    failure.message = "Unsupported file format"
    failure.details = ["format": ".xlsx"]
    report.failed = [failure]
    // Times are whole milliseconds: the rate of a batch that began in this one is not known yet.
    let claimedAt = harness.runtime.now()
    while harness.runtime.now() <= claimedAt + .milliseconds(2) { await Task.yield() }
    _ = try await harness.worker.report(report, context: harness.context(Worker.Methods.report))
    let running = try await harness.getBatch("b1") { $0.includeJobDetails = true }.jsonValue()
    harness.executor.exit(
      AttemptKey(batch: BatchKey(namespace: "default", batchID: "b1"), job: job, number: 1), code: 1)
    _ = try await harness.batch("b1") { $0.status.isFinal }
    return ["status": running, "final": try await harness.getBatch("b1").jsonValue()]
  }
}
