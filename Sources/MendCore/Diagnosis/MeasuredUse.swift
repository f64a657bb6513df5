/// What the attempts of one extractor used of the resources that they asked for.
struct MeasuredUse: Hashable {
  private var peakBytes: Int64 = 0
  private var limitBytes: Int64 = 0
  private var cpusUsed = 0.0
  private var cpusAsked = 0.0

  /// A request is reported if it is at least this many times what was used.
  static let generousFactor = 4
  /// Smaller memory limits are not reported.
  static let memoryOfInterest: Int64 = 256 << 20
  /// Shorter runs say little about CPU use.
  static let measuredSeconds = 10.0

  mutating func add(_ attempt: Attempt) {
    guard let end = attempt.end, let exit = end.exit else { return }
    if exit.peakMemoryBytes > 0, attempt.parameters.resources.memoryBytes > 0 {
      peakBytes = max(peakBytes, exit.peakMemoryBytes)
      limitBytes = max(limitBytes, attempt.parameters.resources.memoryBytes)
    }
    let ran = attempt.startedAt.map { (end.at - $0).inSeconds } ?? 0
    if exit.cpuSeconds > 0, ran >= Self.measuredSeconds {
      cpusUsed = max(cpusUsed, exit.cpuSeconds / ran)
      cpusAsked = max(cpusAsked, attempt.parameters.resources.cpus)
    }
  }

  func insights(_ extractor: String, tier: Int) -> [Insight] {
    var insights: [Insight] = []
    if peakBytes > 0, limitBytes >= Self.memoryOfInterest, peakBytes <= limitBytes / Int64(Self.generousFactor) {
      let enough = MemoryAdvice.enough(forPeak: peakBytes)
      insights.append(
        Insight(
          type: "memory_oversized", severity: .info,
          message: "\(extractor) asked for \(Figures.bytes(limitBytes)) and used \(Figures.bytes(peakBytes)) at most",
          stage: "tier \(tier)", metric: Double(peakBytes) / Double(limitBytes),
          recommendation: "Ask for \(Figures.bytes(enough)): more jobs fit at once"))
    }
    if cpusUsed > 0, cpusAsked >= 2, cpusUsed <= cpusAsked / Double(Self.generousFactor) {
      let enough = max(1, cpusUsed.rounded(.up))
      insights.append(
        Insight(
          type: "cpu_oversized", severity: .info,
          message: "\(extractor) asked for \(Figures.cpus(cpusAsked)) and kept \((cpusUsed * 10).rounded() / 10) busy",
          stage: "tier \(tier)", metric: cpusUsed / cpusAsked,
          recommendation: "Ask for \(Figures.cpus(enough)): more jobs fit at once"))
    }
    return insights
  }
}
