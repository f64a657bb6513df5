/// The state of a session beyond the library's own.
struct SessionState: ~Copyable {
  var streams: StreamTable
  var headers: HeaderCollector
  /// The rules for the header list that is being received (server).
  var rules = RequestRules()
  /// The stream whose header list is being received; nil if the list is ignored.
  var headersTarget: Pinned<StreamState>?
  var events: [HTTP2Event] = []
  var counters = HTTP2Counters()
  var meter: FrameMeter
  var outboundBytes = 0
  var unreadBytes = 0
  /// The bytes of header lists that streams keep until they are released.
  var headerBytes = 0

  /// The highest id that the peer opened.
  var highestRemoteID: Int32 = 0
  /// Streams that the peer had ended when they closed: it may not use them any more.
  var endedByPeer = RecentStreams(capacity: 64)
  /// Streams that this side reset; frames for them may still arrive.
  var resetByUs = RecentStreams(capacity: 256)
  /// Streams whose response ended before their request did.
  var endedEarly: [Int32] = []
  /// Whether a GOAWAY for the peer's fault is queued or sent; nothing more is received then.
  var isTerminated = false
  /// The reason in that GOAWAY.
  var terminationReason: StaticString = ""
  /// Whether that GOAWAY, the last frame, was sent.
  var saidGoodbye = false
  /// The number of SETTINGS frames that this side sent, up to two.
  var settingsSent = 0
  /// SETTINGS_INITIAL_WINDOW_SIZE as the peer set it last (RFC 9113 6.5.2).
  var peerInitialWindow = 65_535
  /// Whether it was raised since the last send.
  var windowsWereRaised = false
  /// The part of the connection's window that is to be returned to the peer.
  var connectionCredit = 0
  var sendLimit = 0
  /// The debug data of the peer's last GOAWAY.
  var goAwayText: [UInt8] = []

  var controlFrames: TokenBucket
  var resets: TokenBucket
  var faults: TokenBucket
  var controlFramesSeen = 0
  var resetsSeen = 0
  var faultsSeen = 0
  var refusals: TokenBucket
  var refusalsSeen = 0

  init(_ limits: HTTP2Limits, _ role: HTTP2Session.Role) {
    streams = StreamTable(keptHeaderBytes: limits.keptHeaderBytes)
    meter = FrameMeter(role: role)
    headers = HeaderCollector(limit: limits.maxHeaderListBytes)
    controlFrames = TokenBucket(limits.controlFrames)
    resets = TokenBucket(limits.resetsReceived)
    faults = TokenBucket(limits.faultsReceived)
    refusals = TokenBucket(limits.resetsReceived)
  }
}
