internal import MendRPC

/// Talks to a Mend server: typed calls that say in their errors what to do.
///
/// The connection is made by the first call, and again after it was lost. What is safe to repeat is repeated while the
/// server is unavailable: reads, the worker's calls, and changes, which get a random idempotency key where they have
/// none. Calls may be made from any task; cancelling the task cancels the call. Every failure is a `MendError`.
public final class MendClient: Sendable {
  /// How a client presents itself.
  public struct Settings: Sendable {
    /// Sent as `authorization: Bearer …` with every call.
    public var token: String?
    /// Whose batches: sent as `mend-namespace`; the server takes `default` where it is missing.
    public var namespace: String?
    public var security: Security = .plaintext
    public var limits = Limits()

    public init(token: String? = nil, namespace: String? = nil, security: Security = .plaintext) {
      self.token = token
      self.namespace = namespace
      self.security = security
    }
  }

  public let server: Endpoint
  public let settings: Settings
  let connector: Connector

  public init(_ server: Endpoint, settings: Settings = Settings()) {
    self.server = server
    self.settings = settings
    self.connector = Connector(server, settings.security, settings.limits)
  }

  /// Lets running calls end and closes the connection; a later call would make a new one.
  public func close() async { await connector.close() }

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

/// Whether a call may be made twice.
enum Repetition: Sendable {
  /// Reads, keyed changes, and the worker's calls, whose second result is counted, not applied.
  case safe
  case never
}

extension MendClient {
  /// One call, made again while the server is unavailable and repeating it is safe.
  func call<Response: Sendable>(
    _ repetition: Repetition = .safe, timeout: Duration? = nil,
    _ body: @Sendable (any RPCChannel, CallOptions) async throws(RPCError) -> Response
  ) async throws(MendError) -> Response {
    var backoff = Backoff(from: settings.limits.backoffMinimum, to: settings.limits.backoffMaximum)
    var attempt = 1
    while true {
      do throws(MendError) {
        return try await callOnce(timeout: timeout, body)
      } catch {
        guard repetition == .safe || error.isCertainlyNotDone, error.isRetryable,
          attempt < settings.limits.attemptsPerCall, !Task.isCancelled
        else { throw error }
        attempt += 1
        let wait = max(backoff.next(), error.details.retryAfter ?? .zero)
        do { try await Task.sleep(for: wait) } catch { throw MendError(.cancelled, "the call was cancelled") }
      }
    }
  }

  private func callOnce<Response: Sendable>(
    timeout: Duration?, _ body: @Sendable (any RPCChannel, CallOptions) async throws(RPCError) -> Response
  ) async throws(MendError) -> Response {
    let connection = try await connector.connection()
    do throws(RPCError) {
      return try await body(connection, options(timeout: timeout ?? settings.limits.callTimeout))
    } catch {
      throw MendError(error)
    }
  }

  /// What every call carries. `timeout` nil is none.
  func options(timeout: Duration?) -> CallOptions {
    var options = CallOptions()
    if let token = settings.token { options.metadata["authorization"] = "Bearer \(token)" }
    if let namespace = settings.namespace { options.metadata["mend-namespace"] = namespace }
    options.timeout = timeout
    options.maxResponseBytes = settings.limits.responseBytesMaximum
    return options
  }
}
