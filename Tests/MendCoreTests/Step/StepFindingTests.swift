import Testing

@testable import MendCore

/// Causes that an executor names, and by whom an end was seen.
@Suite struct StepFindingTests {
  let now = Instant(milliseconds: 5)

  func account(_ termination: ExitRecord.Termination, _ finding: ExitRecord.Finding?, on executor: ExecutorKind)
    -> EndAccount
  {
    EndAccount(exit: ExitRecord(termination: termination, at: now, finding: finding), executor: executor)
  }

  @Test func `an executor's finding says more than an exit code`() {
    let finding = ExitRecord.Finding(cause: .oom, confidence: .medium, text: "the node was low on memory")
    let end = account(.exited(1), finding, on: .ray).end(at: now)
    #expect(end.verdict == .failed(.oom, .medium))
    #expect(end.sentence == "oom: the node was low on memory")
    #expect(end.evidence.map(\.observer) == [.executor, .executor])
    #expect(end.evidence.last?.observed == "the node was low on memory")
  }

  @Test func `an end that was asked for is that, whatever the executor found`() {
    var account = account(
      .unknown("Ray says STOPPED"), ExitRecord.Finding(cause: .signal, confidence: .medium, text: "stopped"), on: .ray)
    account.ending = .cancelled
    #expect(account.end(at: now).verdict == .cancelled)
  }

  @Test(
    "a wait status is the kernel's word here, and told elsewhere",
    arguments: [
      (ExecutorKind.local, Evidence.Observer.kernel, Evidence.Observer.supervisor), (.ray, .executor, .executor),
    ])
  func observers(executor: ExecutorKind, exit: Evidence.Observer, receipt: Evidence.Observer) {
    var account = account(.exited(3), nil, on: executor)
    account.receipt = EndReceipt(processes: 1, how: "SIGTERM")
    let end = account.end(at: now)
    #expect(end.verdict == .failed(.exitCode, .high))
    #expect(end.evidence.map(\.observer) == [exit, receipt])
  }
}
