internal import MendRPC
internal import Synchronization

/// A client of a Mend server: typed calls whose errors say what to do.
///
/// The first call that needs a connection opens it, also after a connection was lost or closed for idleness. While the
/// server is unavailable the client repeats what is safe to repeat: reads, the worker's calls, and changes, which get a
/// random idempotency key if they have none. Calls may be made from any task. Cancelling the task ends the call at once
/// and cancels it at the server. Every failure is a `MendError`.
public final class MendClient: Sendable {
  /// How a client identifies itself, and how it waits.
  public struct Settings: Sendable {
    /// Sent as `authorization: Bearer …` with every call. Blanks and line breaks around it, as from a file or an
    /// environment variable, are removed.
    public var token: String?
    /// The namespace, sent as `mend-namespace`. The server uses `default` if it is missing.
    public var namespace: String?
    public var security: Security = .plaintext
    /// If true, calls wait for an unreachable server up to their timeout, instead of failing at once.
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

  /// Waits for running calls to end, then closes the connections. A later call opens a new one.
  public func close() async { await pool.close() }

  /// Returns once the server can be reached. Connects if there is no connection.
  ///
  /// - Throws: `MendError` with UNAVAILABLE and the last reason if the server is not reached in time.
  public func waitUntilReady(within time: Duration) async throws(MendError) {
    do throws(RPCError) {
      try await pool.waitUntilReady(within: time)
    } catch {
      var failure = MendError(error)
      // The timeout is that of the wait, not of a call.
      if failure.code == .deadlineExceeded {
        failure.code = .unavailable
        failure.fault = .connection
      }
      throw failure
    }
  }

  /// A unique key: 128 random bits.
  public static func randomIdempotencyKey() -> String {
    var generator = SystemRandomNumberGenerator()
    func digits() -> String {
      let text = String(generator.next() as UInt64, radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }
    return digits() + digits()
  }

  /// The key of a further call of the same change: one that nobody would choose and that fits the limit, whatever the
  /// first key's length. The same for the same key and name.
  package static func idempotencyKey(_ name: String, after key: String) -> String {
    "\(name)-\(digits(of: key))"
  }

  /// A 128-bit hash of a text, the same in every process: FNV-1a with two initial values.
  private static func digits(of text: String) -> String {
    [0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142].map { (start: UInt64) in
      let hash = text.utf8.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
      let digits = String(hash, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }
}

extension MendClient {
  /// A client's connections and counters.
  public struct Statistics: Sendable, Hashable {
    /// Connections that accept calls.
    public var connections = 0
    public var openCalls = 0
    /// Calls that wait for a connection or for a stream on one.
    public var waitingCalls = 0
    public var connectionsMade = 0
    public var connectFailures = 0
    /// Calls sent again because the server had not begun them.
    public var transparentRetries = 0
    /// Calls repeated because that is safe.
    public var retries = 0
    /// Calls not repeated because too many failed recently.
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
