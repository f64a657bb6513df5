import Foundation
import GRDB
import MendRuntime

/// The database file and its write-ahead log as they lie on the disk, before SQLite touches them.
///
/// SQLite takes a log that it cannot read for an empty one, and throws the log of an empty database away: what was
/// acknowledged would be gone without a word.
struct JournalFile {
  let path: String
  private var logPath: String { path + "-wal" }

  init(path: String) { self.path = path }

  /// Refuses what was a journal once and is none any more.
  ///
  /// - Parameter wasMade: a journal stood here before, so an empty file is no new one.
  func check(wasMade: Bool) throws(StoreError) {
    let log = FileManager.default.contents(atPath: logPath) ?? Data()
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    guard let attributes else {
      guard log.isEmpty else {
        throw damage("\(path) is missing, and \(logPath) is there")
      }
      return
    }
    let size = (attributes[.size] as? NSNumber)?.int64Value ?? 0
    if size == 0, attributes[.type] as? FileAttributeType == .typeRegular, wasMade || !log.isEmpty {
      throw damage("\(path) is empty, and it was not")
    }
    try check(log: Array(log))
  }

  /// There is nothing in it, or no such file.
  var isEmpty: Bool {
    var status = stat()
    return unsafe stat(path, &status) != 0 || status.st_size == 0
  }

  static func logIsMissing(_ path: String) -> StoreError {
    StoreError(
      operation: "open",
      message: "\(path) was copied or kept without \(path)-wal, and what stood there is missing, acknowledged batches "
        + "among it: put all files that begin with its name in place together, as they were at one moment; or go on with "
        + "what is there: mend doctor --data DIR --accept-loss")
  }

  static func endsBefore(_ row: Int64, last: Int64, _ path: String) -> StoreError {
    StoreError(
      operation: "open",
      message:
        "\(path) ends at row \(last), and row \(row) was acknowledged: \(path)-wal was removed, cut or changed for an "
        + "older one, and \(row - last) commits of batches are missing. Put all files that begin with its name in place "
        + "together, as they were at one moment; or go on with what is there: mend doctor --data DIR --accept-loss")
  }

  /// Keeps other users' eyes off what it holds: tokens of attempts and values of environments. Gives the files that had to be
  /// changed.
  func tighten() throws(StoreError) -> [String] {
    var changed: [String] = []
    for part in ["", "-wal", "-shm", JournalMark.suffix] {
      var status = stat()
      guard unsafe stat(path + part, &status) == 0, status.st_mode & 0o077 != 0 else { continue }
      guard unsafe chmod(path + part, status.st_mode & 0o700) == 0 else {
        throw StoreError(
          operation: "open",
          message:
            "\(path + part) can be read by other users, and that cannot be changed: \(SystemFault.words(errno)); "
            + "give it to the server's user")
      }
      changed.append(path + part)
    }
    return changed
  }

  /// https://sqlite.org/walformat.html: a header of 32 bytes, then frames of 24 bytes and a page, each with the checksum
  /// of all before it.
  private func check(log: [UInt8]) throws(StoreError) {
    // Shorter, or zeros: a power cut came before the header was on the disk, and before any commit.
    guard log.count >= Log.headerBytes, log.prefix(Log.headerBytes).contains(where: { $0 != 0 }) else { return }
    guard let reader = Log(log) else { throw damage("the header of \(logPath) is no log's") }
    // One commit may be half on the disk after a power cut, for it was not acknowledged. None follows it.
    let lost = reader.commitsBehindDamage
    if lost > 1 { throw damage("\(logPath) is broken in the middle, and \(lost) commits follow") }
  }

  private func damage(_ what: String) -> StoreError {
    StoreError(
      operation: "open",
      message: "\(what); the journal is damaged: bring it back from a copy, or move journal.sqlite and all that begins "
        + "with its name away and start with an empty journal")
  }

  /// The files that SQLite has open while a pool lives.
  enum Part: String, CaseIterable {
    case database = ""
    case log = "-wal"
    case index = "-shm"
  }

  /// Which files they are: another one in a place, or none, holds nothing of what is written from now on.
  func identities() -> [Identity?] { Part.allCases.map { Self.identity(path + $0.rawValue) } }

  private static func identity(_ path: String) -> Identity? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return Identity(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
  }

  /// Of the write-ahead log, as the file system has it.
  var logBytes: Int64 {
    var status = stat()
    return unsafe stat(logPath, &status) == 0 ? Int64(status.st_size) : 0
  }

  struct Identity: Hashable {
    var device: UInt64
    var number: UInt64
  }
}

/// A write-ahead log's bytes.
private struct Log {
  static let headerBytes = 32
  private static let frameHeaderBytes = 24

  private let bytes: [UInt8]
  private let pageBytes: Int
  /// The checksum's words are big-endian.
  private let isBigEndian: Bool

  /// Nil where the header is damaged.
  init?(_ bytes: [UInt8]) {
    self.bytes = bytes
    let magic = Self.word(bytes, 0)
    let page = Int(Self.word(bytes, 8))
    guard magic & ~1 == 0x377f_0682, page >= 512, page <= 65_536, page & (page - 1) == 0 else { return nil }
    isBigEndian = magic & 1 == 1
    pageBytes = page
    let sum = checksum(0..<24, from: (0, 0))
    guard sum == (Self.word(bytes, 24), Self.word(bytes, 28)) else { return nil }
  }

  /// Commits of this log's present round that stand behind the first frame that is not whole.
  var commitsBehindDamage: Int {
    var sum = (Self.word(bytes, 24), Self.word(bytes, 28))
    var isWhole = true
    var lost = 0
    let length = Self.frameHeaderBytes + pageBytes
    var start = Self.headerBytes
    while start + length <= bytes.count {
      defer { start += length }
      // Frames of an earlier round bear other salts.
      let isOfThisRound = bytes[start + 8..<start + 16].elementsEqual(bytes[16..<24])
      if isWhole {
        guard isOfThisRound else {
          isWhole = false
          continue
        }
        sum = checksum(start..<start + 8, from: sum)
        sum = checksum(start + Self.frameHeaderBytes..<start + length, from: sum)
        isWhole = sum == (Self.word(bytes, start + 16), Self.word(bytes, start + 20))
      } else if isOfThisRound, Self.word(bytes, start + 4) != 0 {
        lost += 1
      }
    }
    return lost
  }

  private func checksum(_ range: Range<Int>, from start: (UInt32, UInt32)) -> (UInt32, UInt32) {
    var (first, second) = start
    unsafe bytes.withUnsafeBytes { raw in
      for offset in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
        let one = unsafe raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        let two = unsafe raw.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
        first &+= (isBigEndian ? UInt32(bigEndian: one) : UInt32(littleEndian: one)) &+ second
        second &+= (isBigEndian ? UInt32(bigEndian: two) : UInt32(littleEndian: two)) &+ first
      }
    }
    return (first, second)
  }

  private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }
}
