import FoundationEssentials
import MendCore
import MendProtobuf
import Testing

@testable import MendExecutors

/// What a real Ray answered, read by the client.
@Suite struct RayClientTests {
  func client(_ name: String) throws -> RayClient { RayClient(try RecordedTransport(name)) }

  @Test(
    "a job's recorded answer is read",
    arguments: [
      ("get_ok-1", "ok-1", RayJob.Status.succeeded, "", 0),
      ("get_fail-3", "fail-3", .failed, "JOB_ENTRYPOINT_COMMAND_ERROR", 3),
      ("get_pending_or_running", "ok-1", .pending, "", nil), ("get_big-64", "big-64", .pending, "", nil),
      ("get_big-64_stopped", "big-64", .pending, "", nil), ("get_big-64_stopped_later", "big-64", .pending, "", nil),
      ("get_stop-1_right_after", "stop-1", .running, "", nil), ("get_stop-1", "stop-1", .stopped, "", nil),
      ("get_stop-trap", "stop-trap", .stopped, "", nil), ("get_driver_job", "drv-1", .succeeded, "", 0),
      ("get_oom_driver_beyond_entrypoint_memory", "oom-driver", .failed, "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE", nil),
    ] as [(String, String, RayJob.Status, String, Int32?)])
  func jobs(name: String, id: String, status: RayJob.Status, errorType: String, code: Int32?) async throws {
    let job = try await recordedJob(name, id)
    #expect(job.submissionID == id)
    #expect(job.status == status)
    #expect(job.errorType == errorType)
    #expect(job.driverExitCode == code)
    #expect((job.endTime > 0) == status.isFinal)
    #expect(job.message.isEmpty == false)
  }

  @Test func `a job that Ray does not know is no error`() async throws {
    #expect(try await client("get_unknown").job("none") == nil)
    #expect(try await client("stop_unknown").stop("none") == false)
  }

  @Test func `a log is read as it is, also where it is no text`() async throws {
    let bytes: [UInt8] = [0x63, 0xff, 0x00, 0x0d, 0x0a]
    let file = RayResponse(status: 200, mediaType: "text/plain", body: bytes)
    let node = try await recordedJob("get_ok-1", "ok-1").driverNodeID
    let client = RayClient(
      ScriptedTransport(answers: [
        "/api/jobs/x": try RayResponse("get_ok-1"),
        "/api/v0/logs/file?node_id=\(node)&filename=job-driver-x.log&lines=-1&": file,
      ]))
    #expect(try await client.log("x", keepingEnd: 100, lines: nil) == RayLog(start: 0, bytes: bytes))
    #expect(try await client.log("x", keepingEnd: 2, lines: nil) == RayLog(start: 3, bytes: [0x0d, 0x0a]))
  }

  @Test func `a log whose file was removed is none, and not an empty one`() async throws {
    let words = #"{"result": false, "msg": "A file is not found at: job-driver-ok-1.log"}"#
    let client = RayClient(
      ScriptedTransport(answers: [
        "/api/v0/logs": RayResponse(status: 500, body: Array(words.utf8)),
        "/api/jobs/ok-1": try RayResponse("get_ok-1"),
        "/api/jobs/ok-1/logs": RayResponse(status: 200, body: Array(#"{"logs": ""}"#.utf8)),
      ]))
    #expect(try await client.log("ok-1", keepingEnd: 1000, lines: nil) == nil)
  }

  @Test func `where there is no state API the Jobs API's log is read`() async throws {
    for missing in [RayResponse(status: 500, body: []), RayResponse(status: 200, mediaType: "text/html", body: [0x3c])]
    {
      let client = RayClient(
        ScriptedTransport(answers: [
          "/api/v0/logs": missing, "/api/jobs/ok-1": try RayResponse("get_ok-1"),
          "/api/jobs/ok-1/logs": try RayResponse("logs_ok-1"),
        ]))
      let log = try #require(try await client.log("ok-1", keepingEnd: 1000, lines: nil))
      #expect(String(decoding: log.bytes, as: UTF8.self).contains("\nhello bar\n"))
      let end = try #require(try await client.log("ok-1", keepingEnd: 6, lines: nil))
      #expect(String(decoding: end.bytes, as: UTF8.self) == "srv/ray\n1\n".suffix(6))
      #expect(end.end == log.end)
    }
  }

  @Test func `a log that does not come to its end says where it can be read`() async throws {
    struct Slow: RayTransport {
      func send(_ request: RayRequest, keepingEnd: Int?) async throws(RayError) -> RayResponse {
        if keepingEnd != nil { throw .unknown("there was more to come after 7 bytes when its time was over") }
        guard let response = try? RayResponse("get_ok-1") else { throw .unreachable("no recording") }
        return response
      }
    }
    let node = try await recordedJob("get_ok-1", "ok-1").driverNodeID
    let error = await #expect(throws: RayError.self) {
      _ = try await RayClient(Slow()).log("ok-1", keepingEnd: 10, lines: nil)
    }
    let words = "\(try #require(error))"
    for word in ["more to come after 7 bytes", "job-driver-ok-1.log", node] { #expect(words.contains(word)) }
  }

  @Test func `a job that did not begin has an empty log, an unknown one none`() async throws {
    func log(_ job: RayResponse) async throws -> RayLog? {
      try await RayClient(ScriptedTransport(answers: ["/api/jobs/": job])).log("big-64", keepingEnd: 10, lines: nil)
    }
    #expect(try await log(RayResponse("get_big-64")) == RayLog(start: 0, bytes: []))
    let unknown = RayResponse(status: 404, body: Array("Job big-64 does not exist".utf8))
    #expect(try await log(unknown) == nil)
    #expect(try await client("logs_unknown").log("none", keepingEnd: 10, lines: nil) == nil)
  }

  @Test func `a job of whatever id is asked for by it`() async throws {
    let answers = ["/api/jobs/a%20%3F%2F%C3%A9_1-x.y": try RayResponse("get_ok-1")]
    #expect(try await RayClient(ScriptedTransport(answers: answers)).job("a ?/é_1-x.y") != nil)
  }

  @Test func `a 404 that does not name the job is not Ray's word on it`() async throws {
    await #expect(throws: RayError.self) { _ = try await client("get_unknown").job("mend_a_b_t0-j0_1") }
  }

  @Test func `a list is read, driver jobs and their metadata too`() async throws {
    let jobs = try await client("list").jobs()
    #expect(jobs.map(\.submissionID) == ["ok-1", "run-1", "stop-trap", "big-64", "stop-1"])
    #expect(jobs.first?.metadata == ["owner": "mend"])
  }

  @Test(
    "a stop's answer says whether anything was asked to end",
    arguments: [
      ("stop_response", true), ("stop_pending_response", true), ("stop_finished_response", false),
    ])
  func stops(name: String, stopped: Bool) async throws {
    #expect(try await client(name).stop("x") == stopped)
  }

  @Test func `a record is deleted, one that is not there is none, and a live job's is refused`() async throws {
    #expect(try await client("delete_ok").delete("x"))
    #expect(try await client("delete_unknown").delete("none") == false)
    let error = await #expect(throws: RayError.self) { _ = try await client("delete_running").delete("run-1") }
    #expect("\(try #require(error))".contains("non-terminal state RUNNING"))
  }

  func submissionError(_ name: String, id: String = "x") async throws -> RayError? {
    try await submissionError(client(name), id: id)
  }

  func submissionError(_ client: RayClient, id: String = "x") async throws -> RayError? {
    do throws(RayError) {
      try await client.submit(
        RaySubmission(
          submissionID: id, entrypoint: "true", environment: [:], metadata: [:], cpus: 0, gpus: 0, memoryBytes: 0))
      return nil
    } catch {
      return error
    }
  }

  @Test func `a submission is taken, also one whose environment cannot be set up`() async throws {
    #expect(try await submissionError("submit_ok", id: "ok-1") == nil)
    #expect(try await submissionError("submit_bad_runtime_env", id: "bad-rt") == nil)
  }

  @Test(
    "a 200 that does not name the job took nothing",
    arguments: ["", "{}", "[]", "<html>Sign in</html>", #"{"submission_id":"y"}"#, #"{"submission_id":"x""#])
  func notTaken(text: String) async throws {
    let client = RayClient(Fixed(response: RayResponse(status: 200, body: Array(text.utf8))))
    let error = try #require(try await submissionError(client))
    guard case .unknown = error else { return #expect(Bool(false), "\(error)") }
  }

  @Test("a gateway's refusal is not Ray's word on the request", arguments: [404, 405, 429, 500])
  func gateway(status: Int) async throws {
    let client = RayClient(Fixed(response: RayResponse(status: status, body: Array("Not Found".utf8))))
    #expect(try await submissionError(client)?.isLasting == false)
  }

  @Test func `a duplicate is refused with Ray's own words out of a traceback`() async throws {
    let error = try #require(try await submissionError("submit_duplicate"))
    guard case .refused(500, let words) = error else { return #expect(Bool(false), "\(error)") }
    #expect(words.hasPrefix("ValueError: Job with submission_id ok-1 already exists."))
    #expect(!error.isLasting)
  }

  @Test("a fault of the request is lasting", arguments: ["submit_no_entrypoint", "submit_unknown_field"])
  func lasting(name: String) async throws {
    #expect(try await submissionError(name)?.isLasting == true)
  }

  @Test func `a fault of Ray's own is not`() async throws {
    #expect(try await submissionError("submit_malformed")?.isLasting == false)
  }

  @Test func `version and nodes are read`() async throws {
    let version = try await client("version").version()
    #expect(version == RayVersion(sessionName: "session_2026-11-22_00-11-09_894064_5", rayVersion: "2.60.0"))
    let nodes = try await client("v0_nodes").nodes()
    #expect(nodes.map(\.isAlive) == [true])
    #expect(nodes.first?.resources["CPU"] == 2)
    #expect(nodes.first?.resources["memory"] == 24_253_193_728)
  }

  @Test func `where there is no state API the nodes are the dashboard's, and said alike`() async throws {
    let older = ScriptedTransport(answers: ["/nodes?view=summary": try RayResponse("nodes_summary")])
    let nodes = try await RayClient(older).nodes()
    let newer = try await client("v0_nodes").nodes()
    #expect(nodes.map(\.id) == newer.map(\.id))
    #expect(nodes.map(\.isAlive) == [true])
    #expect(RayNode.summary(of: nodes) == RayNode.summary(of: newer))
  }

  @Test func `what a cluster is used for and what it is asked for in vain is read`() async throws {
    let status = try await client("cluster_status").status()
    #expect(status.usage["CPU"] == [0, 2])
    #expect(status.demands == [RayClusterStatus.Demand(resources: ["CPU": 64], count: 1)])
    #expect(status.summary == "0 of 2 CPU in use; unmet demand: 1 × 64 CPU")
    await #expect(throws: RayError.self) { _ = try await client("version").status() }
  }

  @Test(
    "what is not Ray's is not understood as an answer",
    arguments: ["delete_ok", "logs_ok-1", "delete_running", "delete_unknown", "logs_unknown"])
  func other(name: String) async throws {
    await #expect(throws: RayError.self) { _ = try await client(name).job("ok-1") }
  }

  struct Fixed: RayTransport {
    var response: RayResponse
    func send(_ request: RayRequest, keepingEnd: Int?) async throws(RayError) -> RayResponse { response }
  }

  func error(status: Int, _ text: String) async -> RayError? {
    do throws(RayError) {
      _ = try await RayClient(Fixed(response: RayResponse(status: status, body: Array(text.utf8)))).job("x")
      return nil
    } catch {
      return error
    }
  }

  @Test func `tokens, gateways and Ray's refusals are told apart`() async {
    #expect(await error(status: 401, "Unauthorized") == .denied("Unauthorized"))
    #expect(await error(status: 503, "upstream") == .unknown("status 503: upstream"))
    #expect(await error(status: 302, "") == .unknown("status 302: no words"))
    #expect(await error(status: 500, "a\nKeyError: gone\n") == .refused(status: 500, "KeyError: gone"))
    #expect(await error(status: 200, "{}") == .unknown("an answer of 2 bytes that is not Ray's"))
  }

  @Test func `a later version's fields and states are passed over`() async throws {
    let text = #"{"status":"SUSPENDED","submission_id":"x","metadata":{"a":1},"end_time":"soon","new":{"deep":[]}}"#
    let job = try await RayClient(Fixed(response: RayResponse(status: 200, body: Array(text.utf8)))).job("x")
    #expect(job?.status == .other("SUSPENDED"))
    #expect(job?.status.isFinal == false)
    #expect(job?.metadata == [:])
  }

  @Test func `a submission is written as Ray reads it, without what is not asked for`() {
    let submission = RaySubmission(
      submissionID: "mend_a_b_t0-j0_1", entrypoint: "true", environment: ["A": "b"], metadata: ["c": "d"], cpus: 0.5,
      gpus: 0, memoryBytes: 1 << 20)
    #expect(
      submission.json.compact() == """
        {"entrypoint":"true","entrypoint_memory":1048576,"entrypoint_num_cpus":0.5,"metadata":{"c":"d"},\
        "runtime_env":{"env_vars":{"A":"b"}},"submission_id":"mend_a_b_t0-j0_1"}
        """)
  }

  @Test func `no two attempts share a submission id, and each is read back`() {
    let one = AttemptKey(batch: BatchKey(namespace: "a-b", batchID: "c"), job: JobID(tier: 0, index: 1), number: 2)
    let other = AttemptKey(batch: BatchKey(namespace: "a", batchID: "b-c"), job: JobID(tier: 0, index: 1), number: 2)
    #expect(RaySubmissionID.make(one) == "mend_a-b_c_t0-j1_2")
    #expect(RaySubmissionID.make(one) != RaySubmissionID.make(other))
    #expect(RaySubmissionID.attempt(RaySubmissionID.make(one)) == one)
    for text in ["raysubmit_x", "mend_a_b_t0-j1_02", "mend_a_b_t0-j1", "mend_a_b_t0-j1_0", "mend__b_t0-j1_1"] {
      #expect(RaySubmissionID.attempt(text) == nil)
    }
  }
}
