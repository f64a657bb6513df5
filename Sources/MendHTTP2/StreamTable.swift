/// One stream's state between the wire and its reader and writer. Recycled with its memory when the stream is released.
struct StreamState {
  let slot: Int32
  var id: Int32 = 0

  var headers = HeaderBlock()
  var trailers = HeaderBlock()
  /// The bytes of its header lists.
  var headerBytes = 0
  /// A header list for it was refused for its size.
  var headerListTooLarge = false
  /// Whether the header list that is being received is the trailers.
  var receivesTrailers = false

  var received: [UInt8] = []
  var receivedStart = 0
  /// Bytes of the content that its content-length still allows; below 0 where it has none (server).
  var contentLeft = -1
  /// Bytes received for which the peer was not given its window back.
  var uncredited = 0
  /// Nobody will read what still arrives.
  var discards = false
  var remoteEnded = false
  var localEnded = false
  var isClosed = false
  var resetByPeer = false
  var resetByUs = false
  /// The library told of a broken frame on this stream; the reset that follows is no second fault.
  var isFaulty = false

  var outbound: [UInt8] = []
  var outboundStart = 0
  var outboundEnded = false
  var deferred = false
  var hasProvider = false
  var trailersOut: Trailers = .none
  /// Tell the writer once this many bytes or fewer wait to be sent; below 0, nobody asked.
  var drainMark = -1

  enum Trailers {
    /// The last DATA frame ends the stream.
    case none
    case fixed(StaticHeaders)
    case block(HeaderBlock)
  }

  init(slot: Int32) {
    self.slot = slot
  }

  var handle: StreamHandle { StreamHandle(id: id, slot: slot) }
  var pending: Int { outbound.count &- outboundStart }
  var unread: Int { received.count &- receivedStart }

  /// `keepsMemory` is for the streams that come next; a stream that only a burst needed gives it back.
  mutating func recycle(keepsMemory: Bool, headerBytes kept: Int) {
    guard keepsMemory else {
      self = StreamState(slot: slot)
      return
    }
    id = 0
    headers.recycle(keeping: kept)
    trailers.recycle(keeping: kept)
    headerBytes = 0
    headerListTooLarge = false
    receivesTrailers = false
    received.recycle()
    receivedStart = 0
    contentLeft = -1
    uncredited = 0
    discards = false
    remoteEnded = false
    localEnded = false
    isClosed = false
    resetByPeer = false
    resetByUs = false
    isFaulty = false
    outbound.recycle()
    outboundStart = 0
    outboundEnded = false
    deferred = false
    hasProvider = false
    trailersOut = .none
    drainMark = -1
  }
}

extension [UInt8] {
  /// Empties it for what comes next. Above this size its memory is given back: one large message must not be paid for
  /// as long as its stream is open, nor by the streams after it.
  @inline(__always)
  mutating func recycle() {
    if capacity > 16 * 1024 {
      self = []
    } else if !isEmpty {
      removeAll(keepingCapacity: true)
    }
  }
}

/// Streams by their number on the wire (open ones) and by their slot (until released).
///
/// Linear probing with backward-shift deletion. Ids count up by two; multiplied by the golden ratio they stand far
/// apart, so that a deletion seldom has to look at a neighbour. Costs 227 instructions a call less than the library's
/// own map.
@safe
struct StreamTable: ~Copyable {
  private typealias Entry = (id: Int32, slot: Int32)

  private var entries: UnsafeMutablePointer<Entry>
  private var mask = 15
  private(set) var count = 0
  private var slots: [Pinned<StreamState>] = []
  private var freeSlots: [Int32] = []

  /// The header memory that a stream keeps while it is not in use.
  private let keptHeaderBytes: Int

  init(keptHeaderBytes: Int) {
    self.keptHeaderBytes = keptHeaderBytes
    unsafe entries = .allocate(capacity: 16)
    unsafe entries.initialize(repeating: (0, 0), count: 16)
  }

  deinit {
    unsafe entries.deallocate()
    for stream in slots { stream.free() }
  }

  @inline(__always)
  private func home(_ id: Int32) -> Int {
    Int(truncatingIfNeeded: (UInt32(bitPattern: id) &* 0x9E37_79B9) &>> 12) & mask
  }

  @inline(__always)
  func open(_ id: Int32) -> Pinned<StreamState>? {
    var index = home(id)
    while unsafe entries[index].id != 0 {
      if unsafe entries[index].id == id { return unsafe slots[Int(entries[index].slot)] }
      index = (index &+ 1) & mask
    }
    return nil
  }

  @inline(__always)
  func held(_ handle: StreamHandle) -> Pinned<StreamState>? {
    guard Int(handle.slot) < slots.count, handle.slot >= 0 else { return nil }
    let stream = slots[Int(handle.slot)]
    return stream.value.id == handle.id ? stream : nil
  }

  /// The stream in a slot that is known to be held.
  @inline(__always)
  func inSlot(_ slot: Int32) -> Pinned<StreamState> {
    slots[Int(slot)]
  }

  mutating func insert(_ id: Int32) -> Pinned<StreamState> {
    let slot: Int32
    if let recycled = freeSlots.popLast() {
      slot = recycled
    } else {
      slot = Int32(slots.count)
      slots.append(Pinned(StreamState(slot: slot)))
    }
    let stream = slots[Int(slot)]
    stream.value.id = id
    count += 1
    if count * 2 > mask { grow() }
    place((id, slot))
    return stream
  }

  /// The stream closed; its slot stays until ``release(_:)``.
  mutating func remove(_ id: Int32) {
    var hole = home(id)
    while unsafe entries[hole].id != id {
      guard unsafe entries[hole].id != 0 else { return }
      hole = (hole &+ 1) & mask
    }
    count -= 1
    var next = (hole &+ 1) & mask
    while unsafe entries[next].id != 0 {
      let home = home(unsafe entries[next].id)
      // Move an entry back only when its home is not between the hole and it.
      if ((next &- home) & mask) >= ((next &- hole) & mask) {
        unsafe entries[hole] = entries[next]
        hole = next
      }
      next = (next &+ 1) & mask
    }
    unsafe entries[hole] = (0, 0)
  }

  /// Streams that are not in use and keep their memory.
  private static let keptStreams = 64

  mutating func release(_ stream: Pinned<StreamState>) {
    stream.value.recycle(keepsMemory: freeSlots.count < Self.keptStreams, headerBytes: keptHeaderBytes)
    freeSlots.append(stream.value.slot)
  }

  private mutating func place(_ entry: Entry) {
    var index = home(entry.id)
    while unsafe entries[index].id != 0 { index = (index &+ 1) & mask }
    unsafe entries[index] = entry
  }

  private mutating func grow() {
    let old = unsafe entries
    let oldSize = mask + 1
    unsafe entries = .allocate(capacity: oldSize * 2)
    unsafe entries.initialize(repeating: (0, 0), count: oldSize * 2)
    mask = oldSize * 2 - 1
    for index in 0..<oldSize where unsafe old[index].id != 0 { place(unsafe old[index]) }
    unsafe old.deallocate()
  }
}

/// The last few stream ids of one kind, to tell a late frame from a forbidden one.
struct RecentStreams {
  private let capacity: Int
  private var ids: [Int32] = []
  private var next = 0

  init(capacity: Int) {
    self.capacity = capacity
  }

  mutating func insert(_ id: Int32) {
    if ids.count < capacity {
      ids.append(id)
    } else {
      ids[next] = id
      next = next &+ 1 == capacity ? 0 : next &+ 1
    }
  }

  func contains(_ id: Int32) -> Bool {
    ids.contains(id)
  }

  mutating func remove(_ id: Int32) {
    // No stream has the id 0.
    if let index = ids.firstIndex(of: id) { ids[index] = 0 }
  }
}
