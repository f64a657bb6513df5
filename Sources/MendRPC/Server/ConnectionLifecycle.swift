/// The state of one connection of a server. It decides what happens next, without a channel, a session or a clock;
/// ``ServerConnection`` carries that out.
///
/// ```
///  waiting ── TLS agreed on HTTP/2 · first bytes · nothing said for 100 ms ──> serving: our SETTINGS are sent
///     ├─ the first bytes are an HTTP/1 request ──> lingering: answered with 505
///     └─ TLS agreed without HTTP/2 ──> lackingHTTP2 ─┬─ first bytes ──> lingering: answered with 505 if HTTP/1
///                                                     └─ server stops ──> closed
///  waiting, serving ── server stops · idleTimeout · maxConnectionAge ──> draining: first GOAWAY, and a PING
///  draining ── PING answered, or 1 s ──> draining, announced: last GOAWAY ── last call ends ──> closed
///  draining ── TLS agreed without HTTP/2 ──> closed
///  serving, draining ── terminated, and the peer was told ──> lingering
///                    └─ terminated, and the peer takes no bytes ──> ending ── it takes them ──> lingering
///  ending, lingering: calls are ended, nothing is read ── 1 s ──> closed
///  any ── the channel is gone ──> closed
/// ```
///
/// A connection is terminated for what its peer did: a broken rule, too many faults, or a time limit. Only its output
/// is closed at first: a socket that is closed while bytes wait in it drops what the peer has not read yet.
enum ConnectionLifecycle: Hashable {
  case waiting, lackingHTTP2, serving
  case draining(isAnnounced: Bool)
  case ending, lingering, closed

  enum Event {
    case tlsAgreed(onHTTP2: Bool)
    /// The peer has said nothing for a while.
    case greetingDue
    case firstBytes(isHTTP1: Bool)
    /// No more calls are to be taken.
    case shutDown
    /// The peer answered the shutdown's PING, or had the time to.
    case shutdownHeard
    /// Everything that the session has to say is sent.
    case sessionFinished(isTerminated: Bool)
    /// The session is terminated and has yet to say so.
    case sessionTerminated
    case channelGone
  }

  enum Action: Hashable {
    case nothing
    /// Send what the session has to say; first of all, its SETTINGS.
    case flush
    /// Tell the observer that TLS was agreed on without HTTP/2.
    case reportMissingHTTP2
    /// Answer an HTTP/1 request, then linger.
    case refuseHTTP1
    /// End the calls, close the output, and close the channel a second later.
    case linger
    /// End the calls, and close the channel in a second.
    case end
    /// Send the first GOAWAY and the PING.
    case beginShutdown
    /// Send the last GOAWAY.
    case finishShutdown
    case close
    /// Let go of everything.
    case release
  }

  /// Whether no further calls are wanted.
  var isDraining: Bool {
    switch self {
    case .waiting, .lackingHTTP2, .serving: false
    case .draining, .ending, .lingering, .closed: true
    }
  }

  mutating func on(_ event: Event) -> Action {
    switch (self, event) {
    case (.closed, _): return .nothing
    case (_, .channelGone):
      self = .closed
      return .release
    case (.waiting, .tlsAgreed(onHTTP2: true)), (.waiting, .greetingDue):
      self = .serving
      return .flush
    case (.draining, .tlsAgreed(onHTTP2: true)): return .flush
    case (.waiting, .tlsAgreed(onHTTP2: false)):
      self = .lackingHTTP2
      return .reportMissingHTTP2
    // Such a peer reads no GOAWAY and answers no PING.
    case (.draining, .tlsAgreed(onHTTP2: false)): return .close
    case (.waiting, .firstBytes(isHTTP1: false)):
      self = .serving
      return .nothing
    case (.waiting, .firstBytes(isHTTP1: true)), (.lackingHTTP2, .firstBytes(isHTTP1: true)):
      self = .lingering
      return .refuseHTTP1
    case (.lackingHTTP2, .firstBytes(isHTTP1: false)):
      self = .lingering
      return .linger
    case (.waiting, .shutDown), (.serving, .shutDown):
      self = .draining(isAnnounced: false)
      return .beginShutdown
    case (.lackingHTTP2, .shutDown): return .close
    case (.draining(isAnnounced: false), .shutdownHeard):
      self = .draining(isAnnounced: true)
      return .finishShutdown
    case (.lingering, _): return .nothing
    case (_, .sessionFinished(isTerminated: false)): return .close
    case (_, .sessionFinished(isTerminated: true)):
      self = .lingering
      return .linger
    case (.ending, .sessionTerminated): return .nothing
    case (_, .sessionTerminated):
      self = .ending
      return .end
    default: return .nothing
    }
  }
}
