/// Counts the frames that a peer sent, from their nine-byte headers alone.
///
/// The library reports no frames that it skips (unknown types, CONTINUATION of a header list that it has given up on)
/// and counts CONTINUATION anew in each read. These counts do not depend on how the bytes were cut.
struct FrameMeter {
  /// Whether a header list has begun and not ended.
  var isInHeaders: Bool { expectsContinuation || (payloadLeft > 0 && inHeaderFrame) }
  /// The list goes on beyond a frame of the largest size: it is as long as a list with a field above 64 KiB begins.
  var isInLongHeaders: Bool { expectsContinuation && headerBytes >= Self.largestFrame }
  /// Bytes on the wire of the unfinished header list.
  private(set) var headerBytes = 0
  /// CONTINUATION frames of the unfinished header list.
  private(set) var continuations = 0
  /// The largest values of both since they were last read.
  private(set) var headerBytesPeak = 0
  private(set) var continuationsPeak = 0

  private var prefaceLeft: Int
  private var payloadLeft = 0
  private var inHeaderFrame = false
  private var expectsContinuation = false
  /// A frame header that was cut: its first eight bytes, and how many of them have arrived.
  private var head: UInt64 = 0
  private var headCount = 0

  private static let headBytes = 9
  /// The initial SETTINGS_MAX_FRAME_SIZE, which this side never changes.
  private static let largestFrame = 16 * 1024

  /// A server's peer begins with the 24 bytes of the preface.
  init(role: HTTP2Session.Role) {
    prefaceLeft = role == .server ? 24 : 0
  }

  @inline(__always)
  mutating func measure(_ bytes: RawSpan, _ counters: inout HTTP2Counters) {
    var offset = 0
    let count = bytes.byteCount
    if prefaceLeft > 0 {
      offset = min(prefaceLeft, count)
      prefaceLeft &-= offset
    }
    while offset < count {
      if payloadLeft > 0 {
        let skipped = min(payloadLeft, count &- offset)
        payloadLeft &-= skipped
        offset &+= skipped
      } else if headCount == 0, count &- offset >= Self.headBytes {
        let word = UInt64(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
        offset &+= Self.headBytes
        begin(word, &counters)
      } else {
        if headCount < 8 { head = head << 8 | UInt64(unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)) }
        offset &+= 1
        headCount &+= 1
        if headCount == Self.headBytes {
          headCount = 0
          begin(head, &counters)
        }
      }
    }
  }

  mutating func forgetPeaks() {
    headerBytesPeak = 0
    continuationsPeak = 0
  }

  /// Length (24 bits), type, flags, and the first three bytes of the stream's id (RFC 9113 4.1).
  @inline(__always)
  private mutating func begin(_ word: UInt64, _ counters: inout HTTP2Counters) {
    payloadLeft = Int(word >> 40)
    let flags = UInt8(truncatingIfNeeded: word >> 24)
    inHeaderFrame = false
    switch UInt8(truncatingIfNeeded: word >> 32) {
    case 0x0:  // DATA
      if payloadLeft == 0, flags & 0x1 == 0 { counters.controlFramesReceived &+= 1 }
    case 0x1:  // HEADERS
      inHeaderFrame = true
      expectsContinuation = flags & 0x4 == 0
      headerBytes = payloadLeft
      continuations = 0
    case 0x3:  // RST_STREAM
      counters.resetsReceived &+= 1
    case 0x8:
      counters.windowUpdatesReceived &+= 1
    case 0x9:
      inHeaderFrame = true
      expectsContinuation = flags & 0x4 == 0
      counters.controlFramesReceived &+= 1
      headerBytes &+= payloadLeft
      continuations &+= 1
      headerBytesPeak = max(headerBytesPeak, headerBytes)
      continuationsPeak = max(continuationsPeak, continuations)
    default:
      counters.controlFramesReceived &+= 1
    }
  }
}
