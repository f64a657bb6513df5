import MendCore

/// A tier's work in Ray's own terms: the job that Ray's dashboard shows for it.
struct RayJobView {
  var id: String
  var status: String
  /// Empty without a dashboard.
  var url = ""

  /// Nil while Ray has no job of the tier.
  init?(_ tier: Tier, dashboard: String) {
    guard let attempt = tier.shownAttempt, let handle = attempt.handle else { return nil }
    id = handle.reference
    if !dashboard.isEmpty {
      url = (dashboard.hasSuffix("/") ? String(dashboard.dropLast()) : dashboard) + "/#/jobs/\(id)"
    }
    status =
      switch attempt.state {
      case .intended, .starting: "PENDING"
      case .running, .ending: "RUNNING"
      case .ended(let end):
        switch end.verdict {
        case .succeeded: "SUCCEEDED"
        case .cancelled: "STOPPED"
        case .failed: "FAILED"
        }
      }
  }
}
