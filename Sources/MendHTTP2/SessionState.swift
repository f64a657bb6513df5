/// What a session knows beyond what the library keeps.
struct SessionState: ~Copyable {
  var streams: StreamTable
  var headers: HeaderCollector
  /// What the header list that is being received is held to (server).
  var rules = RequestRules()
  /// Whose header list is being received; nil when nobody wants it.
  var headersTarget: Pinned<StreamState>?
  var events: [HTTP2Event] = []
  var counters = HTTP2Counters()
  var meter: FrameMeter
  var outboundBytes = 0
  var unreadBytes = 0
  /// Of the header lists that streams keep until they are released.
  var headerBytes = 0

  /// The highest id that the peer opened.
  var highestRemoteID: Int32 = 0
  /// Streams that the peer had ended when they closed: it may not use them any more.
  var endedByPeer = RecentStreams(capacity: 64)
  /// Streams that we reset: frames for them may still be under way.
  var resetByUs = RecentStreams(capacity: 256)
  /// Streams whose response ended before their request did.
  var endedEarly: [Int32] = []
  /// A GOAWAY that says what the peer did wrong is queued or was sent; nothing more is received.
  var isTerminated = false
  /// What the peer did wrong, as that GOAWAY says it.
  var terminationReason: StaticString = ""
  /// That GOAWAY was sent: it is the last frame.
  var saidGoodbye = false
  /// How many SETTINGS frames of this side's were sent, up to two.
  var settingsSent = 0
  /// SETTINGS_INITIAL_WINDOW_SIZE as the peer set it last (RFC 9113 6.5.2).
  var peerInitialWindow = 65_535
  /// It was raised, and what the library made of that has not been sent yet.
  var windowsWereRaised = false
  /// Window of the whole connection that has to be given back.
  var connectionCredit = 0
  var sendLimit = 0
  /// What the peer's last GOAWAY said beside its code.
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
