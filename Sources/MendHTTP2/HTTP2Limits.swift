/// The limits of one HTTP/2 connection, each with its default and the reason for it.
package struct HTTP2Limits: Hashable, Sendable {
  /// Streams that a peer may have open at once; always announced. gRPC servers commonly allow 100, which throttles
  /// one busy connection; a thousand idle streams cost below 1 MB.
  package var maxConcurrentStreams: Int = 1000

  /// Decoded bytes of one header list, as RFC 9113 6.5.2 counts them (name + value + 32 a field); announced and
  /// counted. 16 KiB is what most HTTP servers accept; one 16 KB frame can decode to 48 MB without this.
  ///
  /// A server reads up to four times as much without keeping it, so that it can answer the call; above that it resets
  /// the stream.
  package var maxHeaderListBytes: Int = 16 * 1024

  /// Memory of a header list that a stream keeps for the next one: a call with a token and a trace takes less. Larger
  /// memory is given back, or one long list on each of many streams would cost memory for ever.
  package var keptHeaderBytes: Int = 3 * 1024

  /// Bytes on the wire of one header list in several frames, above which the connection ends: as many as a list that
  /// is answered at all can need without compression.
  package var maxHeaderBlockBytes: Int = 64 * 1024

  /// CONTINUATION frames after one HEADERS (CVE-2024-28182), however few bytes they carry: 64 frames of 16 KB hold
  /// more than any header list that is taken. Above it the connection ends.
  package var maxContinuationFrames: Int = 64

  /// Bytes that a peer may send on one stream before somebody has read them.
  package var streamWindowBytes: Int = 256 * 1024

  /// Bytes that a peer may send on all streams together before they were looked at: far more than one stream's. They
  /// are given back as they arrive, or streams that nobody reads would stall the others. What is kept of them is
  /// bounded by each stream's window and by the session's owner, who returns it; nothing is kept of a stream that a
  /// server has answered.
  package var connectionWindowBytes: Int = 16 * 1024 * 1024

  /// The number of frames (acknowledgements, resets) that may wait for a peer that doesn't read.
  package var maxOutboundFrames: Int = 10_000

  /// Frames that ask for work and carry no call: PING, SETTINGS, PRIORITY, CONTINUATION, empty DATA, unknown types.
  package var controlFrames = RateLimit(burst: 2000, perSecond: 200)

  /// WINDOW_UPDATE frames beyond ten for each DATA frame that was sent and two for each stream: no peer needs
  /// more, and each costs the library a search.
  package var maxSpareWindowUpdates: Int = 10_000

  /// RST_STREAM frames received (rapid reset, CVE-2023-44487). Honest cancellations count as well. Streams that are
  /// refused, because too many are open, are counted apart, by the same figures.
  package var resetsReceived = RateLimit(burst: 2000, perSecond: 200)

  /// Streams that the library resets because the peer broke a rule on them (MadeYouReset, CVE-2025-8671).
  package var faultsReceived = RateLimit(burst: 200, perSecond: 10)

  package init() {}
}

/// A token bucket's two figures.
package struct RateLimit: Hashable, Sendable {
  package var burst: Int
  package var perSecond: Int

  package init(burst: Int, perSecond: Int) {
    self.burst = burst
    self.perSecond = perSecond
  }
}

/// A token bucket that takes the time as an argument.
package struct TokenBucket: Hashable, Sendable {
  private let limit: RateLimit
  /// Billionths of a token, so that frequent reads lose nothing to rounding.
  private var level: Int
  private var filledAt: UInt64?

  package init(_ limit: RateLimit) {
    self.limit = limit
    level = limit.burst * 1_000_000_000
  }

  /// Takes `count` tokens; false when there were fewer. `now` is in nanoseconds on any monotonic clock.
  package mutating func take(_ count: Int, now: UInt64) -> Bool {
    let full = limit.burst * 1_000_000_000
    if let filledAt, now > filledAt {
      let elapsed = Int(min(now - filledAt, 3_600_000_000_000))
      let (gained, overflow) = elapsed.multipliedReportingOverflow(by: limit.perSecond)
      level = overflow ? full : min(full, level + gained)
    }
    filledAt = now
    level -= count * 1_000_000_000
    guard level >= 0 else {
      level = 0
      return false
    }
    return true
  }
}

/// The traffic of one connection so far, for metrics and tests.
package struct HTTP2Counters: Hashable, Sendable {
  package var bytesReceived = 0
  package var bytesSent = 0
  package var streamsOpened = 0
  /// Frames that carry no call, as in ``HTTP2Limits/controlFrames``.
  package var controlFramesReceived = 0
  package var windowUpdatesReceived = 0
  package var resetsReceived = 0
  package var dataFramesSent = 0
  /// Payload bytes of the DATA frames sent: they show whether a peer whose window is used up still takes anything.
  package var dataBytesSent = 0
  package var resetsSent = 0
  /// Frames that broke a rule of their stream but not of the connection.
  package var faultsReceived = 0
  /// Streams above ``HTTP2Limits/maxConcurrentStreams``.
  package var streamsRefused = 0
}
