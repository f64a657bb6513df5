@testable import MendCore

// One death in one line, in a world of its own: what is said of it and advised.

extension ScenarioWorld {
  /// `died exit=1 stderr="..."`, as `ended` has it: an attempt's end. `document exit=1 stderr="..."`: a document's command.
  mutating func die(_ words: ScenarioWords) throws {
    var world = ScenarioWorld()
    let key = BatchKey(namespace: "default", batchID: "b")
    _ = try world.play(["batch b documents=2", "  tier text memory=\(try words.integer("memory"))"])
    _ = try world.play(["submit"])
    _ = try world.play(["start t0-j0.1"])
    if words.name == "died" {
      let ended = words.settings.sorted { $0.key < $1.key }.map { "\"\($0.key)=\($0.value)\"" }.joined(separator: " ")
      _ = try world.play(["ended t0-j0.1 \(ended)"])
    } else {
      _ = try world.play(["claim t0-j0.1 2"])
      world.refuse(words)
      _ = try world.play(["ended t0-j0.1"])
    }
    guard let batch = world.core.batches[key] else { return }
    let diagnosis = batch.diagnosis(at: world.now, capacity: world.core.capacity, limits: world.core.limits)
    for finding in diagnosis.findings where finding.attempt != nil {
      lines.append(
        "\(finding.category?.rawValue ?? "") \(finding.cause) (\(finding.confidence.rawValue)): \(finding.message)")
      if let remedy = finding.remedy {
        lines.append("  \(remedy.description): \(describe(remedy.call))")
      }
    }
  }

  /// As the documents' worker says it.
  private mutating func refuse(_ words: ScenarioWords) {
    let signal = words.settings["signal"]
    let exit = signal == nil ? words.settings["exit"] ?? "1" : nil
    var details: [String: String] = [:]
    details["signal"] = signal
    details["exit_code"] = exit
    let isNotFound = exit == "126" || exit == "127"
    let failure = WorkerRequest.Failure(
      documentID: "d0", code: isNotFound ? "entrypoint_not_found" : signal == nil ? "exit_code" : "signal",
      message: words.settings["stderr"] ?? "",
      details: details)
    let attempt = AttemptKey(
      batch: BatchKey(namespace: "default", batchID: "b"), job: JobID(tier: 0, index: 0), number: 1)
    step(
      .worker(
        nextCall("report"),
        WorkerRequest(
          token: token(of: attempt), operation: .report(WorkerRequest.Report(completed: ["d1"], failed: [failure])))))
  }
}
