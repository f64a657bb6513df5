import ArgumentParser
import MendAPI
import MendClient

struct Heal: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Plans repairs and, unless it is a dry run, applies them.",
    discussion: """
      The plan of a dry run names the batch's generation. With --generation a plan is applied only if nothing has changed \
      since.

      EXAMPLES
        mend heal BATCH --action auto --dry-run
        mend heal BATCH --action auto --generation 12
        mend heal BATCH --action detect-stuck --tier 1
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(help: "detect-stuck, kill-duplicates, reclaim-orphans, or auto: the plan that diagnose recommends.")
  var action: Action

  @Option(parsing: .unconditional, help: ArgumentHelp("Only this tier, counted from 0.", valueName: "number"))
  var tier: Int32?

  @Flag(help: "Only plan; change nothing.")
  var dryRun = false

  @Option(help: ArgumentHelp("Apply only if the batch is still at this generation.", valueName: "number"))
  var generation: UInt64 = 0

  enum Action: String, ExpressibleByArgument, CaseIterable {
    case detectStuck = "detect-stuck"
    case killDuplicates = "kill-duplicates"
    case reclaimOrphans = "reclaim-orphans"
    case auto

    /// Accepts `detect_stuck` as well, the spelling of the calls.
    init?(argument: String) { self.init(rawValue: argument.replacing("_", with: "-")) }

    var wire: HealAction {
      switch self {
      case .detectStuck: .detectStuck
      case .killDuplicates: .killDuplicates
      case .reclaimOrphans: .reclaimOrphans
      case .auto: .auto
      }
    }
  }

  func run() async throws {
    var request = HealRequest()
    request.batchID = batch
    request.action = action.wire
    request.tier = tier
    request.dryRun = dryRun
    request.generation = generation
    let asked = request
    let answer = try await client.withClient { try await $0.heal(asked) }
    try format.output.print(answer) { self.text($0) }
  }

  private func text(_ answer: HealResponse) -> String {
    if answer.steps.isEmpty {
      return
        "Nothing to heal: \(action.rawValue) found nothing in \(answer.batchID) (generation \(answer.generation)).\n"
    }
    let title = answer.dryRun ? "Plan for" : "Healed"
    var text = "\(title) \(answer.batchID), generation \(answer.generation)\n"
    for (index, step) in answer.steps.enumerated() {
      let risk = step.risk == .unspecified ? "" : ", risk \(Wording.name(step.risk))"
      text += "  \(index + 1). \(step.action) \(step.target): \(step.outcome)\(risk)\n     \(step.reason)\n"
      for evidence in step.evidence { text += DiagnosisReport.evidence(evidence, indent: "     ") }
    }
    if let count = answer.stepsLeftOut {
      text +=
        "  and \(Wording.count(count, "step")) more that \(count == 1 ? "is" : "are") not shown\n"
    }
    if answer.dryRun {
      let tier = tier.map { " --tier \($0)" } ?? ""
      text +=
        "Apply it: mend heal \(answer.batchID) --action \(action.rawValue)\(tier) --generation \(answer.generation)\n"
    }
    return text
  }
}
