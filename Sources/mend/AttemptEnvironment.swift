import CProcess
import Glibc
import MendClient

/// The variables by which an attempt finds its server and identifies itself.
struct AttemptEnvironment {
  var endpoint: Endpoint
  var token: String

  /// - Throws: `ProgramError` (wrong usage) if this process does not belong to an attempt.
  static func read() throws -> AttemptEnvironment {
    guard let endpoint = Environment["MEND_ENDPOINT"], let token = Environment["MEND_ATTEMPT_TOKEN"] else {
      throw ProgramError.usage(
        "MEND_ENDPOINT and MEND_ATTEMPT_TOKEN are missing: this command runs inside an attempt that `mend serve` has started"
      )
    }
    do throws(MendError) {
      return AttemptEnvironment(endpoint: try Endpoint(endpoint), token: token)
    } catch {
      throw ProgramError.usage("MEND_ENDPOINT: \(error.message)")
    }
  }

  /// How to connect to the server: over a network with TLS if MEND_TLS_CA (PEM text, a file, or `system`) is set, and
  /// with MEND_TOKEN if it is set. A Unix socket needs neither.
  func settings() throws -> MendClient.Settings {
    guard case .tcp = endpoint else { return MendClient.programSettings() }
    var settings = MendClient.programSettings(token: Environment["MEND_TOKEN"])
    let certificate = Environment["MEND_TLS_CERT"]
    let key = Environment["MEND_TLS_KEY"]
    guard var authorities = Environment["MEND_TLS_CA"] ?? certificate.map({ _ in "system" }) else { return settings }
    if authorities.hasPrefix("-----BEGIN ") { authorities = try Self.file(of: authorities) }
    settings.security = .tls(
      MendClient.TLSFiles(
        trustedAuthorities: authorities == "system" ? nil : authorities, certificate: certificate, key: key))
    return settings
  }

  /// A node has no file with the server's CA certificates, so their text is in the environment.
  private static func file(of text: String) throws -> String {
    // The file disappears with this process, and no child inherits it.
    let descriptor = cprocess_memory_file()
    guard descriptor >= 0, Standard.write(Array(text.utf8), to: descriptor) else {
      let reason = Standard.systemError(descriptor < 0 ? -descriptor : errno)
      throw ProgramError.usage("MEND_TLS_CA cannot be kept in memory: \(reason); set it to the path of a file instead")
    }
    lseek(descriptor, 0, SEEK_SET)
    return "/dev/fd/\(descriptor)"
  }
}
