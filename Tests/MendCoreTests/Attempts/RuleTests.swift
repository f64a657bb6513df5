import MendCore
import Testing

@Suite("Retry rules")
struct RuleTests {
  private func refused(_ rules: [RetryRule]) -> String? {
    var harness = Harness(memory: 1 << 40)
    let specification = BatchSpecification(executor: .simulated, tiers: [tier(extractor(retry: rules))])
    guard
      case .failure(.invalid(let field, _)) = harness.ask(
        .createBatch(batchID: "b", specification, documents: Harness.documents(1)))
    else { return nil }
    return field.replacing("tiers[0].extractors[0].", with: "")
  }

  @Test("One that can never match is refused, with its field")
  func neverMatches() {
    for cause in [FailureCause.batchTimeout, .documentErrors, .badInput] {
      #expect(refused([RetryRule(cause: cause, action: .retry)]) == "retry[0].cause")
    }
    #expect(refused([RetryRule(exitCodes: [1, 0], action: .retry)]) == "retry[0].exit_codes[1]")
    #expect(refused([RetryRule(exitCodes: [256], action: .retry)]) == "retry[0].exit_codes[0]")
    // What is stuck has none.
    #expect(refused([RetryRule(cause: .progressTimeout, exitCodes: [143], action: .retry)]) == "retry[0].exit_codes")
    #expect(refused([RetryRule(category: .timeout, exitCodes: [143], action: .retry)]) == "retry[0].exit_codes")
    #expect(refused([RetryRule(cause: .runTimeout, exitCodes: [143], action: .retry)]) == nil)
    #expect(refused([RetryRule(cause: .preemption, action: .retry, memoryFactor: 2)]) == "retry[0].memory_factor")
    #expect(
      refused([RetryRule(category: .timeout, action: .retry, memoryCeilingBytes: 1)]) == "retry[0].memory_ceiling_bytes"
    )
    #expect(refused([RetryRule(action: .retry, backoff: .seconds(61))]) == "retry[0].backoff_seconds")
    let hidden: [(first: RetryRule, second: RetryRule)] = [
      (RetryRule(action: .fail), RetryRule(cause: .oom, action: .retry)),
      (RetryRule(category: .infrastructure, action: .fail), RetryRule(cause: .oom, action: .retry)),
      (RetryRule(exitCodes: [1, 2], action: .fail), RetryRule(category: .pipeline, exitCodes: [2], action: .retry)),
      (RetryRule(cause: .oom, action: .fail), RetryRule(cause: .oom, action: .retry)),
    ]
    for (first, second) in hidden { #expect(refused([first, second]) == "retry[1]") }
  }

  @Test("What can match is taken")
  func mayMatch() {
    for cause in FailureCause.allCases
    where ![.batchTimeout, .documentErrors, .badInput, .documentTimeout].contains(cause) {
      #expect(refused([RetryRule(cause: cause, action: .retry)]) == nil)
    }
    #expect(refused([RetryRule(category: .infrastructure, action: .retry, memoryFactor: 2)]) == nil)
    #expect(
      refused([
        RetryRule(exitCodes: [7], action: .ignore), RetryRule(category: .pipeline, action: .retry),
        RetryRule(action: .retry),
      ]) == nil)
  }

  /// A worker that beats and does nothing, with one document in process, until it is ended.
  private func hang(_ rules: [RetryRule], autoHeal: AutoHeal? = nil) -> Harness {
    var harness = Harness()
    AutoHealTests.submit(
      &harness, autoHeal, extractor(timers: Timers(heartbeat: .seconds(3600), progress: .seconds(60)), retry: rules))
    harness.run()
    _ = harness.claim(1)
    for _ in 0..<70 {
      harness.tick(after: 1)
      if !harness.ends.isEmpty { break }
    }
    if !harness.ends.isEmpty {
      harness.see(.ended(harness.attempt(), ExitRecord(termination: .signalled(15), at: harness.now), nil))
    }
    return harness
  }

  @Test("One that names a timeout ends what is stuck for it, without a heal, and decides what follows")
  func stalls() {
    #expect(hang([]).job().current != nil)
    #expect(hang([RetryRule(action: .retry)]).job().current != nil, "it names none")
    for rule in [RetryRule(cause: .progressTimeout, action: .retry), RetryRule(category: .timeout, action: .retry)] {
      let harness = hang([rule])
      #expect(harness.job().attempts.first?.end?.cause == .progressTimeout)
      #expect(harness.job().status == .pending && harness.job().failed.isEmpty, "what died has its second chance")
      #expect(harness.batch.autoHeals == 0)
    }
    #expect(hang([RetryRule(cause: .progressTimeout, action: .fail)]).job().failure?.cause == .progressTimeout)
    #expect(hang([RetryRule(cause: .progressTimeout, action: .ignore)]).job().status == .succeeded)
  }

  @Test("auto_heal ends what is stuck, and a rule that matches decides what follows")
  func healed() {
    #expect(hang([RetryRule(action: .fail)], autoHeal: AutoHeal()).job().status == .failed)
    // The rules that hold where nobody wrote any are not asked: it goes on without its document.
    let harness = hang([], autoHeal: AutoHeal())
    #expect(harness.batch.status == .running && Array(harness.job().failed) == [0])
  }

  @Test("A memory factor is for oom alone")
  func factor() {
    let rule = RetryRule(
      category: .infrastructure, action: .retry, maxAttempts: 5, memoryFactor: 2, memoryCeilingBytes: 2000,
      backoff: .zero)
    var harness = Harness(memory: 100_000)
    harness.submit([tier(extractor(memory: 1000, retry: [rule]))])
    for number in 1...5 {
      harness.run()
      let exit = ExitRecord(
        termination: .unknown("gone"), at: harness.now,
        finding: ExitRecord.Finding(cause: .preemption, confidence: .high, text: "preempted"))
      harness.see(.ended(harness.attempt(), exit, nil))
      #expect(harness.job().attempts.count == number + 1)
      #expect(harness.job().attempts.last?.parameters.resources.memoryBytes == 1000)
    }
  }

  @Test("A rule's budget begins anew with a caller's Retry, and the sentence says what was spent since")
  func budget() {
    let rule = RetryRule(cause: .signal, action: .retry, maxAttempts: 2, backoff: .zero)
    var harness = Harness()
    harness.submit([tier(extractor(retry: [rule]))])
    func die() {
      harness.run()
      harness.end(.signalled(11))
    }
    for _ in 0..<3 { die() }
    #expect(harness.job().status == .failed && harness.job().failure?.message.contains("after 2 retries") == true)
    for _ in 0..<2 {
      _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(), .failed))
      for left in [2, 1, 0] {
        #expect(harness.job().status == .starting, "\(left) are left")
        die()
      }
      #expect(harness.job().status == .failed)
      #expect(harness.job().failure?.message.contains("after 2 retries for signal") == true)
    }
    harness = harness.afterRestart()
    #expect(harness.job().attemptsBeforeRetry == 6)
  }

  @Test("At its memory ceiling a job looks for the document that it is, and the rest completes", arguments: [1, 3])
  func ceiling(_ maximum: Int) {
    let rule = RetryRule(
      cause: .oom, action: .retry, maxAttempts: maximum, memoryFactor: 2, memoryCeilingBytes: 2000, backoff: .zero)
    // The second job is at the machine's size from the beginning.
    for (memory, machine) in [(1000, 100_000), (2000, 2000)] as [(Int64, Int64)] {
      var harness = Harness(memory: machine)
      harness.submit([tier(extractor(memory: memory, retry: [rule]))], documents: 12)
      while !harness.job().status.isFinal {
        harness.tick(after: 1)
        harness.run()
        var died = false
        while !died {
          let claimed = harness.claim(1)
          if claimed.isEmpty { break }
          died = claimed == ["d1"]
          if !died { harness.report(claimed) }
        }
        if died {
          let limit = harness.job().attempts.last?.parameters.resources.memoryBytes ?? 0
          harness.end(.signalled(9), peak: 3000, limit: limit, exceeded: true)
        } else {
          harness.end(.exited(0))
        }
      }
      #expect(harness.job().status == .succeeded && harness.job().committed.count == 11)
      #expect(Array(harness.job().quarantined) == [1] && harness.batch.status == .completed)
    }
  }

  @Test("What never ran when a rule ignored an end did not die with it")
  func ignored() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(exitCodes: [3], action: .ignore)]))], documents: 5)
    harness.run()
    #expect(harness.claim(2) == ["d0", "d1"])
    harness.report(["d0", "d1"])
    #expect(harness.claim(1) == ["d2"])
    harness.end(.exited(3))
    let job = harness.job()
    #expect(job.status == .succeeded && Array(job.failed) == [2, 3, 4])
    #expect(job.errors[2]?.code == "exit_code" && job.errors[2]?.causedByAttempt == true && job.deaths[2] == 1)
    for position in [3, 4] {
      #expect(job.errors[position]?.code == "document_errors" && job.errors[position]?.causedByAttempt == false)
      #expect(job.errors[position]?.message.contains("was not processed") == true && job.deaths[position] == 0)
    }
    let values = harness.diagnosis(of: "b").findings.flatMap(\.evidence).compactMap {
      $0.values["documents_in_process_at_end"]
    }
    #expect(values.allSatisfy { $0 == "0" || $0 == "1" } && values.contains("1"))
  }
}
