import Foundation

/// An error number of the system.
struct SystemError: Error {
  var code: CInt
}

/// Reads a file from its beginning to its end in large pieces.
struct LogBytes {
  private static let pieceBytes = 1 << 20

  private let descriptor: CInt
  private var piece: [UInt8] = []
  /// The number of bytes of `piece` that were returned already.
  private var taken = 0
  private var isAtEnd = false

  init(_ descriptor: CInt) { self.descriptor = descriptor }

  /// Returns the next bytes; fewer than `count` at the end of the file.
  mutating func next(_ count: Int) throws(SystemError) -> ArraySlice<UInt8> {
    while piece.count - taken < count, !isAtEnd { try readOn() }
    let end = min(piece.count, taken + count)
    defer { taken = end }
    return piece[taken..<end]
  }

  private mutating func readOn() throws(SystemError) {
    var more = [UInt8](repeating: 0, count: Self.pieceBytes)
    let count = unsafe read(descriptor, &more, more.count)
    guard count >= 0 else {
      if errno == EINTR { return }
      throw SystemError(code: errno)
    }
    if count == 0 { isAtEnd = true }
    piece = Array(piece[taken...]) + more[..<count]
    taken = 0
  }
}

/// Checks a write-ahead log frame by frame (https://sqlite.org/walformat.html). After a header of 32 bytes come frames of 24
/// bytes and a page, each with a check sum over everything before it.
struct LogCheck {
  static let headerBytes = 32
  private static let frameHeaderBytes = 24

  let frameBytes: Int
  /// Whether the check sums read their words as big-endian.
  private let isBigEndian: Bool
  private let salts: [UInt8]
  private var sum: (UInt32, UInt32)
  private var isWhole = true
  /// The number of commits in this log behind the first damaged frame.
  private(set) var commitsBehindDamage = 0

  /// Nil if the header is damaged.
  init?(_ header: ArraySlice<UInt8>) {
    let magic = Self.word(header, 0)
    let page = Int(Self.word(header, 8))
    guard magic & ~1 == 0x377f_0682, page >= 512, page <= 65_536, page & (page - 1) == 0 else { return nil }
    isBigEndian = magic & 1 == 1
    frameBytes = Self.frameHeaderBytes + page
    salts = Array(header.dropFirst(16).prefix(8))
    sum = (Self.word(header, 24), Self.word(header, 28))
    guard Self.sum(header.prefix(24), from: (0, 0), isBigEndian) == sum else { return nil }
  }

  mutating func take(_ frame: ArraySlice<UInt8>) {
    // Frames of an earlier round bear other salts.
    let isOfThisRound = frame.dropFirst(8).prefix(8).elementsEqual(salts)
    if isWhole {
      guard isOfThisRound else {
        isWhole = false
        return
      }
      sum = Self.sum(frame.prefix(8), from: sum, isBigEndian)
      sum = Self.sum(frame.dropFirst(Self.frameHeaderBytes), from: sum, isBigEndian)
      isWhole = sum == (Self.word(frame, 16), Self.word(frame, 20))
    } else if isOfThisRound, Self.word(frame, 4) != 0 {
      commitsBehindDamage += 1
    }
  }

  private static func sum(
    _ bytes: ArraySlice<UInt8>, from start: (UInt32, UInt32), _ isBigEndian: Bool
  ) -> (UInt32, UInt32) {
    var (first, second) = start
    unsafe bytes.withUnsafeBytes { raw in
      for offset in stride(from: 0, to: raw.count, by: 8) {
        let one = unsafe raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        let two = unsafe raw.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
        first &+= (isBigEndian ? UInt32(bigEndian: one) : UInt32(littleEndian: one)) &+ second
        second &+= (isBigEndian ? UInt32(bigEndian: two) : UInt32(littleEndian: two)) &+ first
      }
    }
    return (first, second)
  }

  private static func word(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt32 {
    bytes.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
  }
}
