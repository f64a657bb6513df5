internal import CZlib
internal import Synchronization

/// gzip (RFC 1952) of whole messages, by the system's zlib.
///
/// The library's states are large (260 KB to compress, 40 KB to decompress), so some are kept and reused.
enum Gzip {
  /// Appends the compressed bytes. False, with nothing appended, if they would not be fewer.
  static func compress(_ bytes: RawSpan, to out: inout [UInt8]) -> Bool {
    guard let state = deflaters.take() else { return false }
    let isSmaller = state.run(bytes, &out)
    deflaters.give(state)
    return isSmaller
  }

  /// The decompressed bytes, all at once; otherwise as ``Inflation``.
  static func decompress(_ bytes: RawSpan, limit: Int, who: String) throws(RPCError) -> [UInt8] {
    let inflation = Inflation(limit: limit, who: who)
    while true {
      var allowance = Int.max
      if let result = inflation.advance(bytes, &allowance) { return try result.get() }
    }
  }

  /// One message that is decompressed in steps, so that others get their turns.
  ///
  /// INTERNAL if it is not gzip, RESOURCE_EXHAUSTED if it is more than `limit` bytes; no more memory than that is
  /// taken.
  final class Inflation {
    private let limit: Int
    private let who: String
    private var state: Inflater?
    private var out: [UInt8] = []
    private var produced = 0
    private var taken = 0

    init(limit: Int, who: String) {
      self.limit = limit
      self.who = who
    }

    deinit {
      if let state { inflaters.give(state) }
    }

    /// Continues with the same `bytes` until it is done or the allowance of bytes, read or produced, is used up. Nil if
    /// there is more to do.
    func advance(_ bytes: RawSpan, _ allowance: inout Int) -> Result<[UInt8], RPCError>? {
      do throws(RPCError) {
        let state = try prepared(&allowance)
        while allowance > 0 {
          if try step(state, bytes, &allowance) {
            out.removeLast(out.count - produced)
            return .success(out)
          }
        }
        return nil
      } catch {
        return .failure(error)
      }
    }

    private func prepared(_ allowance: inout Int) throws(RPCError) -> Inflater {
      if let state { return state }
      allowance -= Self.memberCost
      guard let state = inflaters.take(), state.reset() else {
        throw RPCError(.resourceExhausted, "no memory to decompress \(who)")
      }
      self.state = state
      return state
    }

    /// The cost of a member: resetting the state and reading a header. A message may consist of many empty members.
    private static var memberCost: Int { 1024 }

    private func step(_ state: Inflater, _ bytes: RawSpan, _ allowance: inout Int) throws(RPCError) -> Bool {
      if produced == out.count {
        // One byte above the limit shows that it is too much.
        guard produced <= limit else {
          throw RPCError.exhausted(
            .messageBytes, "\(who) has more than \(limit) bytes when decompressed; at most \(limit) are taken")
        }
        let size = min(limit + 1, max(1024, out.count * 2, min(bytes.byteCount, 64 * 1024) * 4))
        out += [UInt8](repeating: 0, count: size - out.count)
      }
      let before = produced + taken
      let end = allowance < bytes.byteCount - taken ? taken + allowance : bytes.byteCount
      let result = state.step(bytes, from: &taken, to: end, &out, &produced, atMost: allowance)
      allowance -= produced + taken - before
      switch result {
      case Z_STREAM_END:
        if taken == bytes.byteCount, produced <= limit { return true }
        // RFC 1952 2.2: a file may have several members, one after the other.
        if taken < bytes.byteCount {
          allowance -= Self.memberCost
          _ = state.reset()
        }
      case Z_OK: break
      case Z_BUF_ERROR:
        // There is room for output, so the input has ended.
        throw RPCError(.internal, "\(who) is cut short: its gzip data has no end")
      default:
        throw RPCError(
          .internal, "\(who) is not gzip, which its call names as grpc-encoding: \(state.fault(result))")
      }
      return false
    }
  }

  private static let deflaters = Pool<Deflater> { Deflater() }
  private static let inflaters = Pool<Inflater> { Inflater() }

  /// Unused states, at most one for each core.
  private final class Pool<State: Sendable>: Sendable {
    private static var maxIdle: Int { 8 }
    private let make: @Sendable () -> State?
    private let idle = Mutex<[State]>([])

    init(_ make: @escaping @Sendable () -> State?) {
      self.make = make
    }

    func take() -> State? {
      idle.withLock { $0.popLast() } ?? make()
    }

    func give(_ state: State) {
      idle.withLock { if $0.count < Self.maxIdle { $0.append(state) } }
    }
  }
}

/// zlib's state, which must not move in memory.
private class ZlibState: @unchecked Sendable {
  // Unchecked: a state taken from its pool has one user until it is returned.
  let stream: UnsafeMutablePointer<z_stream>

  init() {
    unsafe stream = .allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
  }

  deinit {
    unsafe stream.deallocate()
  }

  /// 32 KiB of window, and gzip's header and trailer instead of zlib's.
  static let windowBits: Int32 = 15 + 16
}

private final class Deflater: ZlibState, @unchecked Sendable {
  // Unchecked: as its superclass.
  init?(level: Int32 = Z_DEFAULT_COMPRESSION) {
    super.init()
    let result = unsafe deflateInit2_(
      stream, level, Z_DEFLATED, Self.windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    guard result == Z_OK else { return nil }
  }

  deinit {
    unsafe _ = deflateEnd(stream)
  }

  func run(_ bytes: RawSpan, _ out: inout [UInt8]) -> Bool {
    let start = out.count
    guard bytes.byteCount > 0, unsafe deflateReset(stream) == Z_OK else { return false }
    out += [UInt8](repeating: 0, count: bytes.byteCount)
    let isDone = unsafe bytes.withUnsafeBytes { input in
      unsafe out.withUnsafeMutableBufferPointer { output in
        guard let from = input.baseAddress, let to = output.baseAddress else { return false }
        unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: from.assumingMemoryBound(to: UInt8.self))
        unsafe stream.pointee.avail_in = UInt32(clamping: input.count)
        unsafe stream.pointee.next_out = to + start
        // One byte less than the input: a result that isn't smaller is useless.
        unsafe stream.pointee.avail_out = UInt32(clamping: input.count - 1)
        return unsafe deflate(stream, Z_FINISH) == Z_STREAM_END
      }
    }
    let count = unsafe isDone ? bytes.byteCount - 1 - Int(stream.pointee.avail_out) : 0
    out.removeLast(out.count - start - count)
    return isDone
  }
}

private final class Inflater: ZlibState, @unchecked Sendable {
  // Unchecked: as its superclass.
  override init() {
    super.init()
  }

  private var isReady = false

  deinit {
    if isReady { unsafe _ = inflateEnd(stream) }
  }

  /// Resets the state. False if there is no memory.
  func reset() -> Bool {
    if !isReady {
      isReady =
        unsafe inflateInit2_(stream, Self.windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    }
    return unsafe isReady && inflateReset(stream) == Z_OK
  }

  /// The reason for a `result` that is not a success.
  func fault(_ result: Int32) -> String {
    unsafe stream.pointee.msg.map { unsafe String(cString: $0) } ?? "error \(result)"
  }

  /// Continues from `taken` in `bytes` and `produced` in `out`.
  func step(
    _ bytes: RawSpan, from taken: inout Int, to end: Int, _ out: inout [UInt8], _ produced: inout Int, atMost most: Int
  ) -> Int32 {
    unsafe bytes.withUnsafeBytes { input in
      unsafe out.withUnsafeMutableBufferPointer { output in
        guard let to = output.baseAddress else { return Z_MEM_ERROR }
        if let from = input.baseAddress {
          unsafe stream.pointee.next_in = UnsafeMutablePointer(
            mutating: from.assumingMemoryBound(to: UInt8.self) + taken)
        }
        let last = min(output.count, most < output.count - produced ? produced + most : output.count)
        unsafe stream.pointee.avail_in = UInt32(clamping: end - taken)
        unsafe stream.pointee.next_out = to + produced
        unsafe stream.pointee.avail_out = UInt32(clamping: last - produced)
        let result = unsafe inflate(stream, Z_NO_FLUSH)
        taken = unsafe end - Int(stream.pointee.avail_in)
        produced = unsafe last - Int(stream.pointee.avail_out)
        return result
      }
    }
  }
}
