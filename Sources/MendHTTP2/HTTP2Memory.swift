internal import CNghttp2
internal import Glibc

/// What all sessions of one event loop share: recycled memory for the library, and one buffer to send from.
///
/// Not Sendable: sessions and their memory stay on one thread, so nothing here takes a lock. Recycling saves 1,155
/// instructions a call over malloc.
@safe package final class HTTP2Memory {
  /// Sizes from 64 B in powers of two up to 128 KB; what is larger goes to malloc.
  private static let classCount = 12
  /// Before every block: its class, or -1, and the size that was asked for.
  private static let headerBytes = 16

  private let free: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  let functions: UnsafeMutablePointer<nghttp2_mem>

  /// The bytes of the send that is under way.
  private(set) var scratch: UnsafeMutableRawPointer
  private(set) var scratchCount = 0
  private var scratchCapacity = 128 * 1024

  package init() {
    unsafe free = .allocate(capacity: Self.classCount)
    unsafe free.initialize(repeating: nil, count: Self.classCount)
    unsafe scratch = .allocate(byteCount: scratchCapacity, alignment: 16)
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
    for index in 0..<Self.classCount {
      var next = unsafe free[index]
      while let block = unsafe next {
        unsafe next = block.load(fromByteOffset: Self.headerBytes, as: UnsafeMutableRawPointer?.self)
        unsafe Glibc.free(block)
      }
    }
    unsafe free.deallocate()
    unsafe functions.deallocate()
    unsafe scratch.deallocate()
  }

  @inline(__always)
  private static func from<R>(_ user: UnsafeMutableRawPointer?, _ body: (HTTP2Memory) -> R) -> R {
    unsafe Unmanaged<HTTP2Memory>.fromOpaque(user!)._withUnsafeGuaranteedRef(body)
  }

  // MARK: Blocks

  @inline(__always)
  private static func sizeClass(_ count: Int) -> Int {
    count <= 64 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount - 6
  }

  private func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
    let sizeClass = Self.sizeClass(count &+ Self.headerBytes)
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
      guard let fresh = unsafe malloc(64 << sizeClass) else { return nil }
      unsafe block = fresh
    }
    unsafe block.storeBytes(of: sizeClass, as: Int.self)
    unsafe block.storeBytes(of: count, toByteOffset: 8, as: Int.self)
    return unsafe block + Self.headerBytes
  }

  private func deallocate(_ pointer: UnsafeMutableRawPointer?) {
    guard let pointer = unsafe pointer else { return }
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
    if sizeClass >= 0, count &+ Self.headerBytes <= 64 << sizeClass {
      unsafe block.storeBytes(of: count, toByteOffset: 8, as: Int.self)
      return unsafe pointer
    }
    guard let moved = unsafe allocate(count) else { return nil }
    unsafe memcpy(moved, pointer, min(old, count))
    unsafe deallocate(pointer)
    return unsafe moved
  }

  // MARK: The send buffer

  func beginSend() {
    scratchCount = 0
  }

  @unsafe @inline(__always)
  func appendToSend(_ bytes: UnsafeRawPointer, _ count: Int) {
    if scratchCount &+ count > scratchCapacity { growScratch(count) }
    unsafe memcpy(scratch + scratchCount, bytes, count)
    scratchCount &+= count
  }

  // Not inlined: the optimizer of Swift 6.3.1 crashes on a span that is made and lent in the middle of `send`.
  @inline(never)
  func lendSent(_ body: (RawSpan) -> Void) {
    let sent = unsafe UnsafeRawBufferPointer(start: scratch, count: scratchCount)
    body(unsafe sent.bytes)
  }

  @inline(never)
  private func growScratch(_ count: Int) {
    let capacity = max(scratchCapacity * 2, scratchCount + count)
    let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    unsafe memcpy(larger, scratch, scratchCount)
    unsafe scratch.deallocate()
    unsafe scratch = larger
    scratchCapacity = capacity
  }
}
