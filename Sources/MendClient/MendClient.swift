internal import MendRPC
internal import Synchronization

/// Talks to a Mend server: typed calls that say in their errors what to do.
///
/// Connections are made by the first call that needs one, and again after they were lost or fell idle. What is safe to
/// repeat is repeated while the server is unavailable: reads, the worker's calls, and changes, which get a random
/// idempotency key where they have none. Calls may be made from any task; cancelling the task ends the call at once and
/// cancels it at the server. Every failure is a `MendError`.
public final class MendClient: Sendable {
  /// How a client presents itself.
  public struct Settings: Sendable {
    /// Sent as `authorization: Bearer …` with every call, without the blanks and line breaks around it that a file or an
    /// environment variable may have.
    public var token: String?
    /// Whose batches: sent as `mend-namespace`; the server takes `default` where it is missing.
    public var namespace: String?
    public var security: Security = .plaintext
    /// Calls wait, up to their time, for a server that can't be reached, instead of failing at once with the reason.
    public var waitForReady = false
    public var limits = Limits()

    public init(token: String? = nil, namespace: String? = nil, security: Security = .plaintext) {
      self.token = token
      self.namespace = namespace
      self.security = security
    }
  }

  public let server: Endpoint
  public let settings: Settings
  let pool: ClientPool
  let retries: Retries

  public init(_ server: Endpoint, settings: Settings = Settings()) {
    self.server = server
    self.settings = settings
    let address: MendRPC.ServerAddress =
      switch server {
      case .tcp(let host, let port): .tcp(host: host, port: port)
      case .unix(let path): .unix(path: path)
      }
    pool = ClientPool(address, configuration: settings.limits.pool(settings.security))
    retries = Retries(settings.limits)
  }

  /// Lets running calls end and closes the connections; a later call would make a new one.
  public func close() async { await pool.close() }

  /// Returns once the server can be reached; connects where nobody has.
  ///
  /// - Throws: `MendError` with UNAVAILABLE and the last reason where it can't be within the time.
  public func waitUntilReady(within time: Duration) async throws(MendError) {
    do throws(RPCError) {
      try await pool.waitUntilReady(within: time)
    } catch {
      var failure = MendError(error)
      // The time is the waiting's, not a call's.
      if failure.code == .deadlineExceeded {
        failure.code = .unavailable
        failure.fault = .connection
      }
      throw failure
    }
  }

  /// A key that no other call has: 128 random bits.
  public static func randomIdempotencyKey() -> String {
    var generator = SystemRandomNumberGenerator()
    func digits() -> String {
      let text = String(generator.next() as UInt64, radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }
    return digits() + digits()
  }
}

extension MendClient {
  /// What a client holds now, and what it has done so far.
  public struct Statistics: Sendable, Hashable {
    /// Connections that take calls.
    public var connections = 0
    public var openCalls = 0
    /// Calls that wait for a connection or for room on one.
    public var waitingCalls = 0
    public var connectionsMade = 0
    public var connectFailures = 0
    /// Calls sent again because the server had certainly not begun them.
    public var transparentRetries = 0
    /// Calls made again because repeating them is safe.
    public var retries = 0
    /// Calls not made again because too many failed of late.
    public var retriesThrottled = 0
  }

  public var statistics: Statistics {
    let pool = pool.statistics
    var statistics = Statistics()
    statistics.connections = pool.connections
    statistics.openCalls = pool.openCalls
    statistics.waitingCalls = pool.waitingCalls
    statistics.connectionsMade = pool.connectionsMade
    statistics.connectFailures = pool.connectFailures
    statistics.transparentRetries = pool.transparentRetries
    (statistics.retries, statistics.retriesThrottled) = retries.counts
    return statistics
  }
}
