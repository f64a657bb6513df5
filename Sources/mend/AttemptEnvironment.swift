import MendClient

/// What an attempt is given in its environment to find its server and to say which attempt it is.
struct AttemptEnvironment {
  var endpoint: Endpoint
  var token: String

  /// - Throws: `ProgramError` (wrong usage) where this process is no attempt's.
  static func read() throws -> AttemptEnvironment {
    guard let endpoint = Environment["MEND_ENDPOINT"], let token = Environment["MEND_ATTEMPT_TOKEN"] else {
      throw ProgramError.usage(
        "MEND_ENDPOINT and MEND_ATTEMPT_TOKEN are missing: this runs inside of an attempt that `mend serve` has started"
      )
    }
    do throws(MendError) {
      return AttemptEnvironment(endpoint: try Endpoint(endpoint), token: token)
    } catch {
      throw ProgramError.usage("MEND_ENDPOINT: \(error.message)")
    }
  }
}
