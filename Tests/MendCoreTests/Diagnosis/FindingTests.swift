import Testing

@testable import MendCore

/// Causes that an executor names, and by whom an end was seen.
@Suite struct FindingTests {
  let now = Instant(milliseconds: 5)

  func report(_ termination: ExitRecord.Termination, _ finding: ExitRecord.Finding?, isSupervised: Bool)
    -> EndReport
  {
    EndReport(exit: ExitRecord(termination: termination, at: now, finding: finding), isSupervised: isSupervised)
  }

  @Test func `an executor's finding says more than an exit code`() {
    let finding = ExitRecord.Finding(cause: .oom, confidence: .medium, text: "the node was low on memory")
    let end = report(.exited(1), finding, isSupervised: false).end(at: now)
    #expect(end.verdict == .failed(.oom, .medium))
    #expect(end.sentence == "oom: the node was low on memory")
    #expect(end.evidence.map(\.observer) == [.executor, .executor])
    #expect(end.evidence.last?.observed == "the node was low on memory")
  }

  @Test func `an end that was asked for is that, whatever the executor found`() {
    var report = report(
      .unknown("Ray says STOPPED"), ExitRecord.Finding(cause: .signal, confidence: .medium, text: "stopped"),
      isSupervised: false)
    report.ending = .cancelled
    #expect(report.end(at: now).verdict == .cancelled)
  }

  @Test(
    "An exit code that comes with words, or with an empty file, is read with them",
    arguments: [
      ("Out of memory!", "12", "oom", "more memory"), ("MemoryError", "12", "oom", "more memory"),
      ("cp: error writing x: No space left on device", "12", "environment_setup", "Make room"),
      ("bad page", "0", "bad_input", "written to its end"), ("bad page", "12", "exit_code", "Read the message"),
    ])
  func exitCodesRead(_ message: String, _ size: String, _ cause: String, _ advice: String) {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    let failure = WorkerRequest.Failure(
      documentID: "d1", code: "exit_code", message: message, details: ["exit_code": "1", "size_bytes": size])
    _ = harness.say(harness.token(), .report(.init(completed: ["d0", "d2"], failed: [failure])))
    harness.end(.exited(0))
    let finding = harness.diagnosis(of: "b").findings.first { $0.documents == [1] }
    #expect(finding?.cause.rawValue == cause)
    // The batch's category is that of its findings.
    #expect(harness.diagnosis(of: "b").failureCategory == finding?.category)
    #expect(finding?.confidence == (cause == "exit_code" ? .high : .medium))
    #expect(finding?.remedy?.description.contains(advice) == true)
    #expect(finding?.message.contains(message) == true)
    let isEmpty = finding?.evidence.contains { $0.observed == "d1 is empty: 0 bytes" }
    #expect(isEmpty == (size == "0"))
  }

  @Test func `a shell's word for a crash is a signal, and a long line stands in the evidence alone`() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    let line = String(repeating: "x", count: 5000)
    let failure = WorkerRequest.Failure(
      documentID: "d1", code: "exit_code", message: line, details: ["exit_code": "139", "size_bytes": "12"])
    _ = harness.say(harness.token(), .report(.init(completed: ["d0", "d2"], failed: [failure])))
    harness.end(.exited(0))
    let finding = harness.diagnosis(of: "b").findings.first { $0.documents == [1] }
    #expect(finding?.cause == .failure(.signal))
    #expect(finding?.confidence == .medium)
    #expect(finding?.evidence.contains { $0.observed.contains("SIGSEGV") } == true)
    #expect((finding?.message.count ?? 5000) < 400)
    #expect(finding?.evidence.contains { $0.observed.hasPrefix(line.prefix(1000)) } == true)
  }

  @Test(
    "a wait status is the kernel's word here, and told elsewhere",
    arguments: [
      (true, Evidence.Observer.kernel, Evidence.Observer.supervisor), (false, .executor, .executor),
    ])
  func observers(isSupervised: Bool, exit: Evidence.Observer, receipt: Evidence.Observer) {
    var report = report(.exited(3), nil, isSupervised: isSupervised)
    report.receipt = EndReceipt(processes: 1, how: "SIGTERM")
    let end = report.end(at: now)
    #expect(end.verdict == .failed(.exitCode, .high))
    #expect(end.evidence.map(\.observer) == [exit, receipt])
  }
}
