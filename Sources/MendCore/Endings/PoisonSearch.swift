// A document that kills its attempts is found by handing suspects out in halves, and left out once it is found, so that
// the rest completes.

/// What a claim may take next.
enum ClaimChoice: Hashable {
  case documents([Int])
  /// Suspects run with nothing else in process: something still is.
  case wait
}

extension Job {
  /// The next documents for a claim: first those that nothing is held against; then, alone, half of those suspects that
  /// saw most deaths; at last, one by one, what was quarantined and taken in again.
  ///
  /// Costs the words of the sets where there are suspects, nothing more where there are none.
  func nextClaim(_ wanted: Int) -> ClaimChoice {
    guard !suspects.isEmpty else { return .documents(nextPending(wanted)) }
    if !processing.intersection(suspects).isEmpty { return .wait }
    let plain = assigned.positions(
      from: 0, limit: wanted, excluding: committed, failed, processing.union(suspects))
    if !plain.isEmpty { return .documents(plain) }
    guard processing.isEmpty else { return .wait }
    let open = suspects.intersection(assigned).subtracting(committed).subtracting(failed)
    let unproven = open.subtracting(quarantined)
    guard let most = unproven.map({ deaths[$0] }).max() else { return .documents(Array(open.prefix(1))) }
    let worst = unproven.filter { deaths[$0] == most }
    return .documents(Array(worst.prefix(min(wanted, (worst.count + 1) / 2))))
  }

  /// Whether an attempt that ends of this cause had nothing but suspects in process. With one of them alone, that is
  /// proof.
  func isIsolating(_ cause: FailureCause) -> Bool {
    cause.mayComeFromADocument && !processing.isEmpty && processing.subtracting(suspects).isEmpty
  }

  /// Documents were in process when that attempt died, and none of them is known to be the one.
  func hasDocumentsLost(to attempt: Int) -> Bool {
    errors.count { $0.causedByAttempt && $0.attempt == attempt && !$0.quarantined } > 0
  }

  /// Suspects of which it is not known yet whether they kill.
  var hasOpenSuspects: Bool { !suspects.subtracting(committed).subtracting(quarantined).isEmpty }

  /// Attempts that were run to find out which document kills.
  var isolatingAttempts: Int { attempts.dropFirst(attemptsBeforeRetry).count { $0.end?.isIsolating == true } }
}

extension Batch {
  func quarantineEvidence(of position: Int, job: Job, at now: Instant) -> Evidence {
    let id = documents.id(at: position)
    let deaths = Int(job.deaths[position])
    return Evidence(
      "document \(id) is quarantined: \(Figures.count(deaths, "attempt")) died while it was in process, the last with "
        + "it alone",
      by: .ledger, at: now, values: ["document_id": id, "attempts_ended": "\(deaths)", "quarantined": "true"])
  }
}
