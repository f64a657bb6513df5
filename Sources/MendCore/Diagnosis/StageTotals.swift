/// The total time of each stage over many jobs. Jobs choose the names, so each may have others.
package struct StageTotals {
  private var totals: [Job.StageTotal] = []
  private var places: [String: Int] = [:]

  /// Different names that are told; what the others took is added up as `others`.
  static let toldLimit = 64
  static let others = "others"

  package init() {}

  package mutating func add(_ stage: Job.StageTotal) {
    if let place = places[stage.name] {
      totals[place].duration += stage.duration
    } else {
      places[stage.name] = totals.count
      totals.append(stage)
    }
  }

  /// In order of first appearance: all of them, or the longest and the sum of the others.
  package var told: [Job.StageTotal] {
    guard totals.count > Self.toldLimit else { return totals }
    let byDuration = totals.indices.sorted { (totals[$1].duration, $0) < (totals[$0].duration, $1) }
    let longest = Set(byDuration.prefix(Self.toldLimit - 1))
    var told: [Job.StageTotal] = []
    var rest = Duration.zero
    for index in totals.indices {
      if longest.contains(index) { told.append(totals[index]) } else { rest += totals[index].duration }
    }
    if let place = told.firstIndex(where: { $0.name == Self.others }) {
      told[place].duration += rest
    } else {
      told.append(Job.StageTotal(name: Self.others, duration: rest))
    }
    return told
  }
}
