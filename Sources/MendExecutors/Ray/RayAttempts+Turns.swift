/// The order in which jobs are looked at one by one.
extension RayAttempts {
  /// Returns the jobs that need a call now: first those to be stopped, then those that have waited longest, so that each
  /// gets its turn however slow the answers are.
  mutating func dueNow(at now: Moment, usesList: Bool, _ wakeAt: inout Moment) -> [String] {
    var due: [(id: String, isStop: Bool, since: Moment)] = []
    var listed: [(id: String, lookedAt: Moment)] = []
    for (id, entry) in entries where !entry.isUnderWay {
      if entry.due > now {
        wakeAt = min(wakeAt, entry.due)
      } else if usesList, entry.isSettled {
        // The list tells of it.
        if lists.isSlow {
          listed.append((id, entry.lookedAt ?? now - .seconds(86_400)))
        } else {
          look(at: id, now + settings.pollInterval)
        }
      } else {
        due.append((id, entry.end.map { $0.nextStop <= now } == true, entry.due))
      }
    }
    due.sort { one, other in
      if one.isStop != other.isStop { return one.isStop }
      return (one.since, one.id) < (other.since, other.id)
    }
    return due.map(\.id) + nextInTurn(of: listed, at: now, &wakeAt)
  }

  /// Returns the listed jobs whose last look is longest ago, as many as one interval has room for.
  private mutating func nextInTurn(
    of listed: [(id: String, lookedAt: Moment)], at now: Moment, _ wakeAt: inout Moment
  ) -> [String] {
    guard !listed.isEmpty else { return [] }
    let since: Moment
    if let begun = lists.looks.since, now - begun < settings.pollInterval {
      since = begun
    } else {
      since = now
      lists.looks = (now, 0)
    }
    let count = max(0, settings.looksPerInterval - lists.looks.count)
    if listed.count > count { wakeAt = min(wakeAt, since + settings.pollInterval) }
    guard count > 0 else { return [] }
    return listed.sorted { ($0.lookedAt, $0.id) < ($1.lookedAt, $1.id) }.prefix(count).map(\.id)
  }
}
