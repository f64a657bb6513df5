/// The reason why a call to Ray has no usable answer. It never means that a job has failed.
package enum RayError: Error, Hashable, Sendable, CustomStringConvertible {
  /// There was no connection, so the request did not arrive.
  case unreachable(String)
  /// The request may have been carried out: its answer was lost, late, too long or invalid.
  case unknown(String)
  /// The token is missing or wrong.
  case denied(String)
  /// Ray refused the request, for this reason.
  case refused(status: Int, String)

  package var description: String {
    switch self {
    case .unreachable(let text): "it cannot be reached: \(text)"
    case .unknown(let text): "its answer is unknown: \(text)"
    case .denied(let text): "it does not accept the token (MEND_RAY_TOKEN, --ray-token-file): \(text)"
    case .refused(let status, let text): "it refused with status \(status): \(text)"
    }
  }

  /// The request or its token is at fault, not Ray.
  var isOfSetup: Bool {
    if case .denied = self { true } else { isLasting }
  }

  /// The request is at fault, so Ray would refuse it again.
  var isLasting: Bool {
    // A 404 or 405 is a gateway's word on where it was sent, not Ray's on what was.
    if case .refused(let status, _) = self { [400, 413, 422].contains(status) } else { false }
  }
}
