// Jobs that were cancelled while the rest of their tier went on: the batch is over, and documents are left undone.

extension Tier {
  /// Whether the job alone was cancelled and the tier was completed without its remaining documents.
  func isLeftOut(_ job: Job) -> Bool {
    status == .completed && job.status == .cancelled && job.committed.count + job.failed.count < job.assigned.count
  }
}

extension Batch {
  var hasLeftOutDocuments: Bool { tiers.contains { tier in tier.jobs.contains { tier.isLeftOut($0) } } }
}

extension DiagnosisContext {
  /// One finding for each extractor: how many documents it did not process, and how many of them went on without it.
  func extractorsLeftOut() -> [Finding] {
    batch.tiers.flatMap { tier in
      let jobs = tier.jobs.filter { tier.isLeftOut($0) }
      return Set(jobs.map(\.extractor)).sorted().map { extractor in
        finding(of: jobs.filter { $0.extractor == extractor }, in: tier)
      }
    }
  }

  private func finding(of jobs: [Job], in tier: Tier) -> Finding {
    var undone = DocumentSet()
    var wentOn = DocumentSet()
    for job in jobs {
      undone.formUnion(job.assigned.subtracting(job.committed).subtracting(job.failed))
      wentOn.formUnion(job.leftOut)
    }
    let name = jobs[0].specified(in: batch)?.name ?? "\(jobs[0].id)"
    let retry = Remedy.Call.retry(tier: tier.number, jobs: jobs.map(\.id), Job.Overrides(), .failed)
    let others =
      wentOn.isEmpty
      ? "no other extractor did them, and they went no further"
      : "\(wentOn.count == undone.count ? "they" : "\(wentOn.count) of them") went on without it"
    return Finding(
      cause: .health(.partialFailures), confidence: .high,
      message: "Extractor \(name) of tier \(tier.number) was left out for "
        + "\(Figures.count(undone.count, "document")) of \(tier.handed.count): \(Figures.list(jobs.prefix(10).map { "\($0.id)" })) "
        + "\(jobs.count == 1 ? "was" : "were") cancelled while others went on; \(others).",
      evidence: [
        Evidence(
          "\(Figures.count(undone.count, "document", "was", "were")) left undone by \(name) when it was cancelled",
          by: .ledger, at: tier.completedAt ?? batch.updatedAt,
          values: [
            "documents_left_out": "\(undone.count)", "documents_went_on": "\(wentOn.count)",
            "documents_handed": "\(tier.handed.count)", "jobs_cancelled": "\(jobs.count)",
          ])
      ],
      remedy: Remedy("If \(name) is to do them after all", by: .call(retry)),
      tier: tier.number, job: jobs.count == 1 ? jobs[0].id : nil, documents: Array(undone.prefix(10)))
  }
}
