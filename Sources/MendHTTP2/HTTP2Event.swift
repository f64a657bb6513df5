/// One stream of one session. A handle outlives its stream harmlessly: commands on a stream that is gone do nothing.
package struct StreamHandle: Hashable, Sendable {
  /// The stream's number on the wire.
  package let id: Int32
  /// A small number, unique among the streams that are open or not yet released; it is used again afterwards.
  package let slot: Int32

  package init(id: Int32, slot: Int32) {
    self.id = id
    self.slot = slot
  }
}

/// A change that a session saw while it received or sent bytes; events come in order.
package enum HTTP2Event: Hashable, Sendable {
  /// A request's or a final response's header list is complete; read it with
  /// ``HTTP2Session/exchangeHeaders(of:with:)``.
  case headers(StreamHandle, endStream: Bool)
  /// A request's header list is complete and above ``HTTP2Limits/maxHeaderListBytes``; its fields were dropped
  /// (server).
  case headersTooLarge(StreamHandle, bytes: Int, endStream: Bool)
  /// Bytes arrived; read them with ``HTTP2Session/withReceived(_:_:)``. Also sent for an empty frame that ends a
  /// stream.
  case data(StreamHandle, endStream: Bool)
  /// The peer's trailers arrived, and with them the end of its half; they replace the header list.
  case trailers(StreamHandle)
  /// The stream is over in both directions. What it received stays readable until ``HTTP2Session/release(_:)``, which
  /// the caller owes for every closed stream.
  case closed(StreamHandle, HTTP2ErrorCode)
  /// The unsent bytes of this stream fell to the mark that the caller asked for.
  case drained(StreamHandle)
  /// The peer's settings changed, perhaps with the number of streams that it allows.
  case settings
  /// The peer acknowledged our settings.
  case settingsAcknowledged
  /// The peer will not answer streams above this id.
  case goAway(lastStreamID: Int32, HTTP2ErrorCode)
  /// The peer answered ``HTTP2Session/ping(_:)`` with the same eight bytes.
  case pingAcknowledged(UInt64)
  /// The peer sent a PING; it has been answered.
  case pingReceived
}

/// An error code of RFC 9113 7.
package struct HTTP2ErrorCode: Hashable, Sendable, CustomStringConvertible {
  package let rawValue: UInt32

  package init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  package static let noError = Self(rawValue: 0)
  package static let protocolError = Self(rawValue: 1)
  package static let internalError = Self(rawValue: 2)
  package static let flowControlError = Self(rawValue: 3)
  package static let settingsTimeout = Self(rawValue: 4)
  package static let streamClosed = Self(rawValue: 5)
  package static let frameSizeError = Self(rawValue: 6)
  package static let refusedStream = Self(rawValue: 7)
  package static let cancel = Self(rawValue: 8)
  package static let compressionError = Self(rawValue: 9)
  package static let connectError = Self(rawValue: 10)
  package static let enhanceYourCalm = Self(rawValue: 11)
  package static let inadequateSecurity = Self(rawValue: 12)
  package static let http11Required = Self(rawValue: 13)

  private static let names = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
  ]

  package var description: String {
    Int(rawValue) < Self.names.count ? Self.names[Int(rawValue)] : "code \(rawValue)"
  }
}

/// Why a session can't continue. The connection must be closed once the rest is sent.
package struct HTTP2Error: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Kind: Hashable, Sendable {
    /// The peer broke the protocol, or one of ``HTTP2Limits``.
    case peer
    /// The library refused a command or ran out of memory.
    case local
  }

  package let kind: Kind
  package let description: String

  package init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}
