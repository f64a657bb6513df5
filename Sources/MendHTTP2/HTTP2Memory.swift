internal import CNghttp2
internal import Glibc

/// The memory that all sessions of one event loop share: recycled blocks for the library, and the output buffer.
///
/// Not Sendable: sessions and their memory stay on one thread, so nothing here takes a lock; a debug build traps where
/// another thread uses memory that is bound. Recycling saves 1,155 instructions a call over malloc.
@safe package final class HTTP2Memory {
  /// Sizes are 64, 128, 256 and 512 B and then go up in quarters of a power of two to 128 KB; what is larger goes to
  /// malloc. The library asks for powers of two, which fit exactly: an idle connection's few kilobytes are not rounded
  /// up.
  private static let classCount = slabClassCount + 32
  /// Blocks of the first classes, up to 512 B, are cut from larger ones: a connection's remembered streams are
  /// hundreds of them.
  private static let slabClassCount = 4
  private static let slabBytes = 8 * 1024
  /// Before every block: its class, or -1, and the size that was asked for.
  private static let headerBytes = 16

  /// A session has one buffer for frames, of 16 KB and some bytes, and uses its beginning: with `NO_COPY` only headers
  /// of frames and small frames are made there. Such blocks lie in pages of their own, of which the first is shared
  /// with a block of the class that a session itself is in; those behind are not touched, and so cost nothing. That is
  /// 4 KB of an idle connection's 20.
  ///
  /// ```
  /// one unit: 24 KB, six pages
  /// │ page 1                                                │ pages 2 to 6                     │
  /// │ session's block, 3,088 B │ frame buffer: first 1,008 B │ its other 19,488 B, 992 B unused │
  /// │ touched                                               │ never touched                    │
  /// ```
  private static let frameClass = sizeClass(16 * 1024 + 1)
  private static let sessionClass = sizeClass(3 * 1024)
  private static let sessionBytes = capacity(sessionClass) + headerBytes
  /// A session's block, a frame buffer's header and capacity, and what is left of the last page.
  private static let unitBytes = 24 * 1024
  private static let unitsMapped = 32

  private let free: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private var slabs: [UnsafeMutableRawPointer] = unsafe []
  private var mappings: [UnsafeMutableRawPointer] = unsafe []
  private var unitsLeft = 0
  let functions: UnsafeMutablePointer<nghttp2_mem>

  /// The output of the current send, and how much of it is written.
  private var room = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private(set) var sentCount = 0

  #if DEBUG
  /// The thread that may use this memory; nil if it is not checked.
  private let thread: pthread_t?
  #endif

  /// Bound memory is for the thread that makes it alone.
  package init(boundToThread isBound: Bool = false) {
    #if DEBUG
    thread = isBound ? pthread_self() : nil
    #endif
    unsafe free = .allocate(capacity: Self.classCount)
    unsafe free.initialize(repeating: nil, count: Self.classCount)
    unsafe functions = .allocate(capacity: 1)
    unsafe functions.initialize(
      to: nghttp2_mem(
        mem_user_data: nil,
        malloc: { count, user in unsafe HTTP2Memory.from(user) { unsafe $0.allocate(count) } },
        free: { block, user in unsafe HTTP2Memory.from(user) { unsafe $0.deallocate(block) } },
        calloc: { count, size, user in
          let (total, overflow) = count.multipliedReportingOverflow(by: size)
          guard !overflow else { return nil }
          return unsafe HTTP2Memory.from(user) {
            guard let block = unsafe $0.allocate(total) else { return nil }
            unsafe memset(block, 0, total)
            return unsafe block
          }
        },
        realloc: { block, count, user in unsafe HTTP2Memory.from(user) { unsafe $0.reallocate(block, count) } }))
    unsafe functions.pointee.mem_user_data = Unmanaged.passUnretained(self).toOpaque()
  }

  deinit {
    while let slab = unsafe slabs.popLast() { unsafe Glibc.free(slab) }
    while let mapping = unsafe mappings.popLast() { unsafe munmap(mapping, Self.unitBytes * Self.unitsMapped) }
    for index in Self.slabClassCount..<Self.classCount where index != Self.frameClass && index != Self.sessionClass {
      var next = unsafe free[index]
      while let block = unsafe next {
        unsafe next = block.load(fromByteOffset: Self.headerBytes, as: UnsafeMutableRawPointer?.self)
        unsafe Glibc.free(block)
      }
    }
    unsafe free.deallocate()
    unsafe functions.deallocate()
  }

  @inline(__always)
  private static func from<R>(_ user: UnsafeMutableRawPointer?, _ body: (HTTP2Memory) -> R) -> R {
    unsafe Unmanaged<HTTP2Memory>.fromOpaque(user!)._withUnsafeGuaranteedRef(body)
  }

  // MARK: Blocks

  @inline(__always)
  private static func sizeClass(_ count: Int) -> Int {
    if count <= 512 { return count <= 64 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount - 6 }
    let power = Int.bitWidth - 1 - (count - 1).leadingZeroBitCount
    return slabClassCount + (power - 9) * 4 + ((count - 1) >> (power - 2)) & 3
  }

  /// How many bytes a class's blocks hold, besides their header.
  private static func capacity(_ sizeClass: Int) -> Int {
    if sizeClass < slabClassCount { return 64 << sizeClass }
    let power = 9 + (sizeClass - slabClassCount) / 4
    return (1 << power) + (((sizeClass - slabClassCount) % 4 + 1) << (power - 2))
  }

  @inline(__always)
  private func checkThread() {
    #if DEBUG
    guard let thread else { return }
    precondition(
      pthread_equal(thread, pthread_self()) != 0, "a session's memory is used on another thread than its own")
    #endif
  }

  private func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
    checkThread()
    let sizeClass = Self.sizeClass(count)
    let block: UnsafeMutableRawPointer
    if sizeClass >= Self.classCount {
      guard let large = unsafe malloc(count &+ Self.headerBytes) else { return nil }
      unsafe large.storeBytes(of: -1, as: Int.self)
      unsafe large.storeBytes(of: count, toByteOffset: 8, as: Int.self)
      return unsafe large + Self.headerBytes
    }
    if let recycled = unsafe free[sizeClass] {
      unsafe free[sizeClass] = recycled.load(fromByteOffset: Self.headerBytes, as: UnsafeMutableRawPointer?.self)
      unsafe block = recycled
    } else {
      guard let fresh = unsafe newBlock(sizeClass) else { return nil }
      unsafe block = fresh
    }
    unsafe block.storeBytes(of: sizeClass, as: Int.self)
    unsafe block.storeBytes(of: count, toByteOffset: 8, as: Int.self)
    return unsafe block + Self.headerBytes
  }

  @inline(never)
  private func newBlock(_ sizeClass: Int) -> UnsafeMutableRawPointer? {
    if sizeClass == Self.frameClass { return unsafe newFrameBuffer() }
    let blockBytes = Self.capacity(sizeClass) + Self.headerBytes
    guard sizeClass < Self.slabClassCount || sizeClass == Self.sessionClass else { return unsafe malloc(blockBytes) }
    guard let slab = unsafe malloc(Self.slabBytes) else { return nil }
    unsafe slabs.append(slab)
    // All blocks but the first are free.
    for offset in stride(from: blockBytes, through: Self.slabBytes - blockBytes, by: blockBytes) {
      let block = unsafe slab + offset
      unsafe block.storeBytes(of: free[sizeClass], toByteOffset: Self.headerBytes, as: UnsafeMutableRawPointer?.self)
      unsafe free[sizeClass] = block
    }
    return unsafe slab
  }

  /// The next unit's frame buffer; the block before it becomes a free one.
  private func newFrameBuffer() -> UnsafeMutableRawPointer? {
    if unitsLeft == 0 {
      let mapping = unsafe mmap(
        nil, Self.unitBytes * Self.unitsMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else { return nil }
      unsafe mappings.append(mapping)
      unitsLeft = Self.unitsMapped
    }
    guard let mapping = unsafe mappings.last else { return nil }
    unitsLeft -= 1
    let unit = unsafe mapping + unitsLeft * Self.unitBytes
    unsafe unit.storeBytes(
      of: free[Self.sessionClass], toByteOffset: Self.headerBytes, as: UnsafeMutableRawPointer?.self)
    unsafe free[Self.sessionClass] = unit
    return unsafe unit + Self.sessionBytes
  }

  private func deallocate(_ pointer: UnsafeMutableRawPointer?) {
    guard let pointer = unsafe pointer else { return }
    checkThread()
    let block = unsafe pointer - Self.headerBytes
    let sizeClass = unsafe block.load(as: Int.self)
    guard sizeClass >= 0 else {
      unsafe Glibc.free(block)
      return
    }
    unsafe block.storeBytes(of: free[sizeClass], toByteOffset: Self.headerBytes, as: UnsafeMutableRawPointer?.self)
    unsafe free[sizeClass] = block
  }

  private func reallocate(_ pointer: UnsafeMutableRawPointer?, _ count: Int) -> UnsafeMutableRawPointer? {
    guard let pointer = unsafe pointer else { return unsafe allocate(count) }
    let block = unsafe pointer - Self.headerBytes
    let sizeClass = unsafe block.load(as: Int.self)
    let old = unsafe block.load(fromByteOffset: 8, as: Int.self)
    if sizeClass >= 0, count <= Self.capacity(sizeClass) {
      unsafe block.storeBytes(of: count, toByteOffset: 8, as: Int.self)
      return unsafe pointer
    }
    guard let moved = unsafe allocate(count) else { return nil }
    unsafe memcpy(moved, pointer, min(old, count))
    unsafe deallocate(pointer)
    return unsafe moved
  }

  // MARK: Sending

  @unsafe
  func beginSend(into room: UnsafeMutableRawBufferPointer) {
    unsafe self.room = unsafe room
    sentCount = 0
  }

  func endSend() {
    unsafe room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  /// There must be room: `HTTP2Session.send` stops while a whole frame still fits.
  @unsafe @inline(__always)
  func appendToSend(_ bytes: UnsafeRawPointer, _ count: Int) {
    guard let start = unsafe room.baseAddress, unsafe count <= room.count &- sentCount else {
      preconditionFailure("a frame of \(count) bytes does not fit")
    }
    unsafe memcpy(start + sentCount, bytes, count)
    sentCount &+= count
  }
}
