// How commands of Mend's program are spelled, for the advice of answers.

package import MendCore

extension Advice {
  /// "Retry tier 0 with 1 GiB of memory: mend retry b --tier 0 --memory 1GiB".
  package func text(batchID: String) -> String {
    guard let line = command?.line(batchID: batchID) else { return text }
    return text.isEmpty ? line : "\(text): \(line)"
  }
}

extension ProgramCommand {
  package func line(batchID: String) -> String {
    switch self {
    case .call(let call): call.commandLine(batchID: batchID)
    case .resume: "mend resume \(batchID)"
    case .watch: "mend watch \(batchID)"
    case .report: "mend report"
    case .serve(let options): "mend serve " + options.map(\.line).joined(separator: " ")
    case .rebuildJournal: "mend doctor --data DIR --rebuild"
    }
  }
}

extension Remedy.Call {
  package func commandLine(batchID: String) -> String {
    switch self {
    case .retry(let tier, let jobs, let overrides, let scope):
      let jobs = jobs.map { "--job \($0)" }
      let options: [String?] = [
        overrides.memoryBytes.map { "--memory \(size($0))" },
        overrides.cpus.map { "--cpus \(Figures.number($0))" },
        overrides.requiresGPU == true ? "--gpu" : nil,
        overrides.priority.map { "--priority \($0)" },
        overrides.runTimeout.map { "--run-timeout \(Figures.number($0?.inSeconds ?? 0))" },
        scope == .all ? "--scope all" : nil,
      ]
      return (["mend retry \(batchID) --tier \(tier)"] + jobs + options.compactMap(\.self)).joined(separator: " ")
    case .heal(let action, let tier):
      let name = action.rawValue.split(separator: "_").joined(separator: "-")
      return "mend heal \(batchID) --action \(name)" + (tier.map { " --tier \($0)" } ?? "")
    case .cancel(.batch): return "mend cancel \(batchID)"
    case .cancel(.tier(let tier)): return "mend cancel \(batchID) --tier \(tier)"
    case .cancel(.job(let job)): return "mend cancel \(batchID) --job \(job)"
    }
  }
}

extension DiagnosisSummary.Cause {
  /// What is advised, as a command line; empty for nothing.
  package func commandLine(batchID: String) -> String { remedy?.commandLine(batchID: batchID) ?? advised }
}

extension ServerOption {
  fileprivate var line: String {
    switch self {
    case .capacity(_, isStandard: true, let cpus, let memoryBytes):
      [cpus.map { "--cpus \(Figures.number($0))" }, memoryBytes.map { "--memory \(size($0))" }]
        .compactMap(\.self).joined(separator: " ")
    case .capacity(let executor, isStandard: false, let cpus, let memoryBytes):
      "--capacity \(executor.rawValue)="
        + [cpus.map { "cpus:\(Figures.number($0))" }, memoryBytes.map { "memory:\(size($0))" }]
        .compactMap(\.self).joined(separator: ",")
    case .quota(let namespace, let quota):
      "--quota \(namespace)="
        + [
          quota.cpus.map { "cpus:\(Figures.number($0))" }, quota.memoryBytes.map { "memory:\(size($0))" },
          quota.gpus.map { "gpus:\($0)" }, quota.batches.map { "batches:\($0)" },
        ].compactMap(\.self).joined(separator: ",")
    case .adoptCopy: "--adopt-copy"
    case .notifications: "--notify-url URL --notify-secret-file FILE"
    }
  }
}

/// "512MiB", "2GiB", else plain bytes.
private func size(_ bytes: Int64) -> String {
  let units: [(bytes: Int64, name: String)] = [(1 << 30, "GiB"), (1 << 20, "MiB")]
  guard let unit = units.first(where: { bytes > 0 && bytes % $0.bytes == 0 }) else { return "\(bytes)" }
  return "\(bytes / unit.bytes)\(unit.name)"
}
