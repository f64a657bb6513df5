/// When a batch will be done, on what basis, and how far the same method was off so far; or why that is not known.
package struct Estimate: Hashable, Sendable {
  /// As likely before as after.
  package var p50: Instant?
  /// Nine times in ten before.
  package var p90: Instant?
  package var basis = ""
  /// The median of |said - was| / was, of what the same method would have said earlier in the same tier.
  package var pastError: Double?
  /// Empty where there is an estimate.
  package var unknownBecause = ""

  static func unknown(_ because: String) -> Estimate {
    var estimate = Estimate()
    estimate.unknownBecause = because
    return estimate
  }
}

extension Batch {
  /// When what is left will be done if it goes as the latest half of what was settled in the running tier, and later tiers
  /// as all that was settled so far; by the time in which it could be worked on. nil for a batch that is over.
  ///
  /// Unknown is not guessed: before the first document was settled, and while the batch does not run.
  package func estimate(at now: Instant, report: HealthReport = HealthReport(.ok)) -> Estimate? {
    switch status {
    case .completed, .failed, .cancelled: return nil
    case _ where report.reason == .copy: return .unknown("the server only shows a copy, and nothing runs here")
    case .created: return .unknown("it was not submitted yet")
    case .queued: return .unknown("it waits in the queue, and nothing of it has run yet")
    case .paused: return .unknown("it is paused")
    case .running: break
    }
    // Its past rate would promise what does not come.
    if report.health == .stuck { return .unknown("it is stuck") }
    var settled = 0
    var spent: Int64 = 0
    var leftLater = 0
    var running: Tier?
    for tier in tiers {
      if tier.startedAt != nil, tier.status != .pending {
        settled += tier.status == .running ? tier.slowest.settled : tier.done.count + tier.failed.count
        spent += tier.work.elapsed(at: now).milliseconds
        if tier.status == .running { running = tier }
      } else {
        // Not started: everything that did not fail before will be handed to it.
        leftLater += max(0, documents.count - failedDocuments.count)
      }
    }
    guard settled > 0, spent > 0 else { return .unknown("no document is done yet") }
    let overall = Double(spent) / Double(settled)
    let (through, left) = running?.slowest ?? (0, 0)
    let pace = running.flatMap { $0.curve.pace(at: $0.work.elapsed(at: now), settled: through) }
    let expected = Double(left) * (pace?.perDocument ?? overall) + Double(leftLater) * overall
    guard expected < 1e15 else { return .unknown("it goes too slowly to say") }
    var estimate = Estimate()
    estimate.pastError = running?.curve.pastError
    estimate.p50 = now + .milliseconds(Int64(expected.rounded()))
    let margin = max(
      pace.map { Double(left) * $0.perDocument * $0.spread } ?? expected,
      expected * (estimate.pastError ?? 0) * 2, Double(leftLater) * overall / 2)
    estimate.p90 = now + .milliseconds(Int64(saturating: expected + margin))
    let perDocument = Figures.number((((pace?.perDocument ?? overall) / 100).rounded() / 10))
    estimate.basis =
      pace.map { "the last \(Figures.count($0.documents, "document")) of tier \(running?.number ?? 0)" }
      ?? Figures.count(settled, "document")
    estimate.basis += " took \(perDocument) s each, \(left) \(left == 1 ? "is" : "are") left"
    if leftLater > 0 {
      estimate.basis +=
        "; later tiers are taken to go as those before, \(Figures.number((overall / 100).rounded() / 10)) s each"
    }
    return estimate
  }

  /// The estimate's p50.
  package func estimatedCompletion(at now: Instant) -> Instant? { estimate(at: now)?.p50 }
}

/// How fast a tier goes of late.
struct Pace: Hashable {
  /// Milliseconds.
  var perDocument: Double
  /// Of how many documents that is the mean.
  var documents: Int
  /// Of the mean over what is left: its standard deviation, 1.28 times, as a share.
  var spread: Double
}

extension ProgressCurve {
  /// Fewer points say nothing of their own.
  static let pointsOfAPace = 8

  /// The mean over the latest half of the points, and the time since the last one; nil before there are enough.
  func pace(at elapsed: Duration, settled: Int) -> Pace? {
    guard points.count >= Self.pointsOfAPace else { return nil }
    let recent = points[(points.count / 2)...]
    guard let first = recent.first, settled > first.settled else { return nil }
    let perDocument = Double((elapsed - first.at).milliseconds) / Double(settled - first.settled)
    var squares = 0.0
    var segments = 0
    for (left, right) in zip(recent, recent.dropFirst()) where right.settled > left.settled {
      let each = Double((right.at - left.at).milliseconds) / Double(right.settled - left.settled)
      squares += (each - perDocument) * (each - perDocument)
      segments += 1
    }
    let deviation = segments > 0 ? (squares / Double(segments)).squareRoot() : perDocument
    // Rates hang together over time, so the mean of what is left is as uncertain as one segment is, at worst.
    let spread = perDocument > 0 ? min(3, 1.28 * deviation / perDocument) : 0
    return Pace(perDocument: perDocument, documents: settled - first.settled, spread: spread)
  }

  /// What the same method would have said at each earlier point of when the last one would come, against when it came.
  var pastError: Double? {
    guard points.count >= Self.pointsOfAPace * 2, let last = points.last else { return nil }
    var errors: [Double] = []
    for index in Self.pointsOfAPace..<(points.count * 3 / 4) {
      let here = points[index]
      let from = points[(index + 1) / 2]
      guard here.settled > from.settled, last.at > here.at else { continue }
      let each = Double((here.at - from.at).milliseconds) / Double(here.settled - from.settled)
      let was = Double((last.at - here.at).milliseconds)
      errors.append(abs(each * Double(last.settled - here.settled) - was) / was)
    }
    guard !errors.isEmpty else { return nil }
    errors.sort()
    return errors[errors.count / 2]
  }
}
