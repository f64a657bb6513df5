import Foundation
import Glibc
import MendRuntime
import Synchronization

/// A small file beside the journal with the last row that was acknowledged. A journal that ends before it lost rows.
///
/// SQLite takes a missing write-ahead log for an empty one. The mark is set after each commit, and not synced: after a power
/// cut it may be behind the journal, never ahead of it.
final class JournalMark: Sendable {
  static let suffix = "-mark"
  /// Negative if the file could not be opened.
  private let descriptor: Mutex<Int32>
  let path: String

  /// Opens the mark, or makes it. If that fails, as on a full disk, it is tried again when the mark is set.
  ///
  /// - Parameter journal: the database's path.
  init(journal: String) {
    path = journal + Self.suffix
    descriptor = Mutex(Self.open(path))
  }

  deinit { descriptor.withLock { if $0 >= 0 { _ = close($0) } } }

  private static func open(_ path: String) -> Int32 {
    unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
  }

  /// The last row of the journal that was acknowledged; nil if that is unknown.
  var row: Int64? { (try? Self.row(at: path)) ?? nil }

  /// The last row that was acknowledged; nil if there is no mark, or a damaged one.
  ///
  /// - Throws: if the mark exists and cannot be read, for it may say that rows are missing.
  static func row(at path: String) throws(StoreError) -> Int64? { try read(path).row }

  /// The newest batch that was acknowledged; nil if that is unknown. Earlier versions did not note it.
  static func batch(at path: String) throws(StoreError) -> Int64? { try read(path).batch }

  private static func read(_ path: String) throws(StoreError) -> (row: Int64?, batch: Int64?) {
    let lines = try lines(path)
    guard let row = lines.first.flatMap({ Int64($0) }), (0..<SQLiteStore.Ledger.rowsLimit).contains(row) else {
      return (nil, nil)
    }
    // The second line has a check sum over both. Earlier versions wrote the first alone.
    guard lines.count > 1 else { return (row, nil) }
    let words = lines[1].split(separator: " ").map { Int64($0) }
    guard words.count == 2, let batch = words[0], RowSum.count(String(row), batch) == words[1] else {
      return (nil, nil)
    }
    return (row, batch)
  }

  private static func lines(_ path: String) throws(StoreError) -> [String] {
    switch SmallFile.read(path) {
    case .success(let text):
      return (text ?? "").split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    case .failure(let error):
      throw StoreError(operation: "open", message: "\(path) cannot be read: \(SystemFault.words(error.code))")
    }
  }

  /// Sets the mark and syncs it to the disk. Returns false if the disk is full.
  func keep(_ row: Int64, batch: Int64) -> Bool {
    guard set(row, batch: batch) else { return errno != ENOSPC && errno != EDQUOT }
    _ = descriptor.withLock { fdatasync($0) }
    SmallFile.syncDirectory(of: path)
    return true
  }

  /// Sets the mark. If that fails, the old mark stays, which does no harm.
  @discardableResult
  func set(_ row: Int64, batch: Int64) -> Bool {
    // The length is fixed, so that a shorter number leaves nothing of a longer one.
    let text =
      Self.line("\(row)", length: 20) + Self.line("\(batch) \(RowSum.count(String(row), batch))", length: 41)
    return descriptor.withLock { descriptor in
      if descriptor < 0 { descriptor = Self.open(path) }
      return unsafe descriptor >= 0 && pwrite(descriptor, text, text.count, 0) == text.count
    }
  }
}

extension JournalMark {
  func set(_ marks: SQLiteStore.Ledger.Marks) { set(marks.lastRow, batch: marks.lastBatch) }

  private static func line(_ text: String, length: Int) -> [UInt8] {
    Array(repeating: 0x20, count: max(0, length - text.utf8.count)) + Array(text.utf8) + [0x0A]
  }
}

/// Describes error numbers of the system.
enum SystemFault {
  static func words(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
}
