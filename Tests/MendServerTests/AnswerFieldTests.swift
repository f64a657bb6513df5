import Foundation
import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime
import Testing

@testable import MendServer

/// Every field that callers may rely on in Diagnose, in GetBatch and in the calls that repair, with what shows it true.
@Suite("The answers, field by field", .timeLimit(.minutes(1)))
struct AnswerFieldTests {
  /// One a line: subject and field | answer and path in it | what it is there: JSON, `~` contains, `>` above, `none`.
  /// Or `test`, and the sentence of the test that shows it.
  static let table = """
    Diagnose batch_id | completed batch_id | "batch-abc123"
    Diagnose batch_name | completed batch_name | "Monthly Reports Processing"
    Diagnose status | completed status | "completed"
    Diagnose bucket_id | completed bucket_id | "reports"
    Diagnose current_tier | completed current_tier | 1
    Diagnose total_tiers | completed total_tiers | 2
    Diagnose overall_progress | completed overall_progress | 100
    Diagnose created_at | completed created_at | ~2023-11-14T22:13:20
    Diagnose submitted_at | completed submitted_at | ~2023-11-14T22:13:25
    Diagnose started_at | completed started_at | ~2023-11-14T22:13:25
    Diagnose completed_at | completed completed_at | ~2023-11-14T22:15
    Diagnose duration_seconds | completed duration_seconds | > 120
    Diagnose estimated_completion | running estimated_completion | ~2023-11-15T00:37
    Diagnose tiers[].tier_num | completed tiers[1].tier_num | 1
    Diagnose tiers[].status | completed tiers[0].status | "completed"
    Diagnose tiers[].task_id | completed tiers[0].task_id | "batch-abc123/0"
    Diagnose tiers[].started_at | completed tiers[0].started_at | ~2023-11-14T22:13:25
    Diagnose tiers[].completed_at | completed tiers[0].completed_at | ~2023-11-14T22:15
    Diagnose tiers[].duration_seconds | completed tiers[0].duration_seconds | > 120
    Diagnose tiers[].progress.processed_documents | running tiers[0].progress.processed_documents | 3
    Diagnose tiers[].progress.total_documents | running tiers[0].progress.total_documents | 10
    Diagnose tiers[].progress.percentage | running tiers[0].progress.percentage | 30
    Diagnose tiers[].ray_job_id | running tiers[0].ray_job_id | "raysubmit_abc"
    Diagnose tiers[].ray_dashboard_url | running tiers[0].ray_dashboard_url | "http://ray-head:8265/#/jobs/raysubmit_abc"
    Diagnose tiers[].ray_job_status | scaling tiers[0].ray_job_status | "PENDING"
    Diagnose tiers[].error | failed tiers[0].error | ~out of memory
    Diagnose tiers[].error_type | failed tiers[0].error_type | "oom"
    Diagnose tiers[].requires_gpu | running tiers[0].requires_gpu | true
    Diagnose collections[].collection_id | completed collections[0].collection_id | "texts"
    Diagnose collections[].collection_name | completed collections[0].collection_name | "texts"
    Diagnose collections[].status (9 of 10 written) | completed collections[0].status | "incomplete"
    Diagnose collections[].document_count | completed collections[0].document_count | 9
    Diagnose collections[].expected_documents | completed collections[0].expected_documents | 10
    Diagnose performance_summary (after completion only) | running performance_summary | none
    Diagnose performance_summary: duration | completed performance_summary.total_duration_seconds | > 120
    Diagnose performance_summary: throughput | completed performance_summary.documents_per_second | > 0.05
    Diagnose performance_summary: time per stage | completed performance_summary.stages[1].duration_seconds | 90.3
    Diagnose performance_summary: slowest tier | completed performance_summary.slowest_tier | 0
    Diagnose performance_summary: slowest tier, not the first | test | The slowest tier and extractor of a completed batch are named
    Diagnose performance_summary: slowest tier, as told | test | the slowest tier of a summary is told by its number
    Diagnose performance_summary: slowest extractor | completed performance_summary.slowest_extractor | "universal_extractor_v1"
    Diagnose performance_summary: repeated work | completed performance_summary.repeated_work_count | 1
    Diagnose performance_summary: cost of repeated work | completed performance_summary.repeated_work_seconds | > 20
    Diagnose performance_summary: failed attempts | completed performance_summary.failed_attempts | 1
    Diagnose performance_summary: peak memory | completed performance_summary.peak_memory_bytes | 9663676416
    Diagnose insights[].type | completed insights[0].type | "stage_bottleneck"
    Diagnose insights[].severity | completed insights[0].severity | "info"
    Diagnose insights[].message | completed insights[0].message | ~processing takes 89 % of the time
    Diagnose insights[].stage | completed insights[0].stage | "processing"
    Diagnose insights[].metric_value | completed insights[0].metric_value | > 0.89
    Diagnose insights[].recommendation | completed insights[0].recommendation | ~Give it more CPUs
    Diagnose has_failures | completed has_failures | true
    Diagnose failed_tier_count | failed failed_tier_count | 1
    Diagnose health ok | running health | "ok"
    Diagnose health scaling | scaling health | "scaling"
    Diagnose health stuck | stuck health | "stuck"
    Diagnose health degraded | completed health | "degraded"
    Diagnose blocked_reason (scaling) | scaling blocked_reason | ~cluster_cold_start: GPU workers scaling from zero
    Diagnose blocked_reason (stuck) | stuck blocked_reason | ~1200 s is its window
    Diagnose blocked_reason (ok) | running blocked_reason | none
    Diagnose blocked_reason (degraded) | completed blocked_reason | none
    Diagnose stuck_seconds (stuck) | stuck stuck_seconds | > 1260
    Diagnose stuck_seconds (not stuck) | running stuck_seconds | none
    Diagnose total_objects | running total_objects | 10
    Diagnose next_actions | failed next_actions[0] | ~mend retry batch-abc123 --tier 0
    Diagnose authorization: Bearer <token> | test | no token, an unknown one and another scheme are unauthenticated
    Diagnose batch_id (path parameter) | test | a foreign batch is answered exactly as an unknown one
    repair status | failed status | "failed"
    repair failure_category | failed failure_category | "infrastructure"
    repair failure_category (nothing failed) | running failure_category | none
    repair infrastructure_events[].type | completed infrastructure_events[0].type | "oom"
    repair infrastructure_events: preemption, node failures, Ray bugs | test | Every cause is named
    repair failure_category: timeout, orphaned, pipeline | test | Every cause is named
    repair failed_documents_sample: the first 10 | test | Failed documents are grouped by code, counted once each, with their first ten and a resolution
    repair infrastructure_events[].at | completed infrastructure_events[0].at | ~2023-11-14T22:13:46
    repair failed_document_count | failed failed_document_count | 5
    repair failed_documents_sample | completed failed_documents_sample[0].document_id | "d9"
    repair failed_documents_sample error details | completed failed_documents_sample[0].error.message | "Unsupported file format"
    repair recommendations | failed recommendations[0] | ~of memory: it needs at least the 9 GiB
    repair per_tier timing | completed tiers[1].duration_seconds | > 1
    repair last_activity_at | stale tiers[0].last_activity_at | ~2023-11-14T22:35
    repair stuck job: beats without progress | stale health_reason | "no_progress"
    repair heal detect_stuck is recommended | stale next_actions[0] | "mend heal batch-abc123 --action detect-stuck --tier 0"
    repair cancel the stuck tier is named | stale next_actions[1] | ~mend cancel batch-abc123 --tier 0
    repair oom: retry with more resources | failed findings[0].remedy.retry.memory_bytes | 17179869184
    repair submission_params.entrypoint | running tiers[0].submission_params.entrypoint | "python -m engine.pipelines.entrypoint"
    repair submission_params.deployment_mode | running tiers[0].submission_params.deployment_mode | "ray"
    repair submission_params.requires_gpu | running tiers[0].submission_params.requires_gpu | true
    repair submission_params.num_cpus | running tiers[0].submission_params.num_cpus | 1
    repair submission_params.memory_bytes | running tiers[0].submission_params.memory_bytes | 8589934592
    repair submission_params.priority | running tiers[0].submission_params.priority | 100
    repair submission_params.plugin_archives (none) | running tiers[0].submission_params.plugin_archives[0] | none
    repair submission_params.extractor_name | running tiers[0].submission_params.extractor_name | "universal_extractor_v1"
    repair progress.stage_history[].name | completed tiers[0].progress.stage_history[2].name | "writing"
    repair progress.stage_history[].duration_seconds | completed tiers[0].progress.stage_history[0].duration_seconds | 2.5
    repair X-Namespace | test | a token opens its namespace and no other, * opens all
    repair retry requires_gpu, priority | test | a retry hands out what is not committed, with the changed resources
    repair heal action | test | heal needs an action
    repair heal action detect_stuck | test | Detecting stuck plans a restart of each attempt that both looks found stuck
    repair heal kill_duplicates | test | A duplicate launch is a finding, and its plan ends it and leaves the current attempt
    repair cancel a tier | test | a cancelled tier's jobs are ended, and no other tier's
    repair cancel a single job | test | one job of several is cancelled by its id
    GetBatch batch_id (path parameter) | test | an invalid batch id is refused with the rule for ids
    GetBatch include_job_details | test | without the flag there are no documents
    GetBatch metrics_only | test | metrics_only is progress and timing
    GetBatch include_errors | test | a document's line has its fields, and its error where errors are wanted
    GetBatch fields | test | a field mask leaves the named fields and the batch's id
    GetBatch data.batch_id | status batch_id | "b1"
    GetBatch data.batch_name | status batch_name | "Monthly Reports"
    GetBatch data.status | status status | "running"
    GetBatch data.progress.percentage | status progress.percentage | 20
    GetBatch data.progress.completed | status progress.completed | 2
    GetBatch data.progress.failed | status progress.failed | 1
    GetBatch data.progress.pending | status progress.pending | 6
    GetBatch data.progress.processing | status progress.processing | 1
    GetBatch data.progress.total | status progress.total | 10
    GetBatch data.timing.created_at | status timing.created_at | ~T
    GetBatch data.timing.started_at | status timing.started_at | ~T
    GetBatch data.timing.updated_at | status timing.updated_at | ~T
    GetBatch data.timing.completed_at (not yet) | status timing.completed_at | none
    GetBatch data.timing.completed_at | final timing.completed_at | ~T
    GetBatch data.timing.estimated_completion | status timing.estimated_completion | ~T
    GetBatch data.timing.estimated_completion (over) | final timing.estimated_completion | none
    GetBatch data.timing.elapsed_time | status timing.elapsed_time | > 0
    GetBatch data.timing.average_item_time | status timing.average_item_time | > 0
    GetBatch data.job_details[].job_id | status job_details[0].job_id | "d0"
    GetBatch data.job_details[].file_path | status job_details[0].file_path | "/srv/in box/d0.pdf"
    GetBatch data.job_details[].media_type | status job_details[0].media_type | "document"
    GetBatch data.job_details[].status | status job_details[0].status | "completed"
    GetBatch data.job_details[].progress | status job_details[0].progress | 100
    GetBatch data.job_details[].started_at | status job_details[0].started_at | ~T
    GetBatch data.job_details[].completed_at | status job_details[0].completed_at | ~T
    GetBatch data.job_details[].error.message | status job_details[2].error.message | "Unsupported file format"
    GetBatch data.job_details[].error.code | status job_details[2].error.code | "format_error"
    GetBatch data.job_details[].error.details | status job_details[2].error.details.format | ".xlsx"
    GetBatch data.error_summary[].error_type | status error_summary[0].error_type | "format_error"
    GetBatch data.error_summary[].count | status error_summary[0].count | 1
    GetBatch data.error_summary[].affected_files | status error_summary[0].affected_files[0] | "/srv/in box/d2.pdf"
    GetBatch data.error_summary[].resolution | status error_summary[0].resolution | "Ensure file is in a supported format"
    GetBatch data.batch_configuration.max_concurrent | status batch_configuration.max_concurrent | 5
    GetBatch data.batch_configuration.priority | status batch_configuration.priority | 50
    GetBatch data.batch_configuration.timeout | status batch_configuration.timeout | 3600
    GetBatch data.batch_configuration.notification_enabled | status batch_configuration.notification_enabled | true
    GetBatch metadata.request_id | status metadata.request_id | ~-
    GetBatch metadata.api_version | status metadata.api_version | "1.0.0"
    GetBatch metadata.cache_ttl | final metadata.cache_ttl | 30
    GetBatch metadata.cache_remaining | final metadata.cache_remaining | 30
    GetBatch status values: running, completed | test | a batch's whole life through the wire
    GetBatch status values: created | test | a field mask leaves the named fields and the batch's id
    GetBatch status values: paused | test | a pause and its end say the batch's status
    GetBatch status values: cancelled | test | a cancel answers when everything is gone, with how it went; again it answers that nothing was to end
    GetBatch status values: failed | failed status | "failed"
    GetBatch validation_error | test | an invalid batch id is refused with the rule for ids
    GetBatch not_found | test | an unknown batch is named with its namespace
    GetBatch processing_error | test | an internal fault tells the operation and where to look, never the inside
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
    let scripted = try ScriptedAnswers().answers
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
    for folder in ["MendServerTests", "MendCoreTests"] {
      let names = try FileManager.default.subpathsOfDirectory(atPath: tests.appending(path: folder).path)
      for name in names where name.hasSuffix(".swift") && !name.hasSuffix("AnswerFieldTests.swift") {
        text += try String(contentsOf: tests.appending(path: "\(folder)/\(name)"), encoding: .utf8)
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
