extension MendClient {
  /// Every bound of the client, by name.
  public struct Limits: Sendable, Hashable {
    /// How often one call is tried at most, the first time included.
    public var attemptsPerCall = 4
    /// The first wait before another try; it doubles each time, with jitter.
    public var backoffMinimum: Duration = .milliseconds(50)
    public var backoffMaximum: Duration = .seconds(2)
    /// How long a watch that has begun goes on looking for its server before it fails.
    public var watchReconnectTime: Duration = .seconds(300)
    /// Connecting, with TLS and the first exchange.
    public var connectTimeout: Duration = .seconds(10)
    /// One call without a time of its own; watches have none.
    public var callTimeout: Duration = .seconds(60)
    /// A cancel waits until processes are proven gone; this is added to its grace period.
    public var cancelTimeout: Duration = .seconds(120)
    /// Bytes of documents in one AddDocuments: well below the 4 MiB that a server takes as one message.
    public var documentBytesPerCall = 2 * 1024 * 1024
    /// Documents in one AddDocuments.
    public var documentsPerCall = 20_000
    /// Bytes of one answer.
    public var responseBytesMaximum = 64 * 1024 * 1024

    public init() {}
  }
}
