/// Why Ray gave no answer that can be used. Nothing here says that a job failed.
public enum RayError: Error, Hashable, Sendable, CustomStringConvertible {
  /// No connection was made: what was asked for did not get there.
  case unreachable(String)
  /// It may have been carried out: the answer was lost, came too late, was too long or makes no sense.
  case unknown(String)
  /// The token is missing or wrong. Nothing is known, and asking again does not help.
  case denied(String)
  /// Ray understood and said no, in its own words.
  case refused(status: Int, String)

  public var description: String {
    switch self {
    case .unreachable(let text): "it cannot be reached: \(text)"
    case .unknown(let text): "its answer is unknown: \(text)"
    case .denied(let text): "it does not accept the token (MEND_RAY_TOKEN, --ray-token-file): \(text)"
    case .refused(let status, let text): "it refused with status \(status): \(text)"
    }
  }

  /// What was asked for, or who asks, is at fault, not the engine.
  var isOfSetup: Bool {
    if case .denied = self { true } else { isLasting }
  }

  /// The request itself is at fault, so the same one will be refused again.
  var isLasting: Bool {
    // A 404 or 405 is a gateway's word on where it was sent, not Ray's on what was.
    if case .refused(let status, _) = self { [400, 413, 422].contains(status) } else { false }
  }
}
