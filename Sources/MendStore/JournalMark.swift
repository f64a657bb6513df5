import Foundation
import MendRuntime

/// How far the journal was acknowledged, in a small file beside it: a journal that ends before it has lost something.
///
/// SQLite takes a write-ahead log that is gone for an empty one. The mark is set after each commit, and not synced: after a
/// power cut it may be behind the journal, and it is never ahead.
final class JournalMark: Sendable {
  static let suffix = "-mark"
  private let descriptor: Int32
  let path: String

  /// Where it can't be made, as on a full disk, there is none.
  ///
  /// - Parameter journal: the database's path.
  init(journal: String) {
    path = journal + Self.suffix
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The last row of the journal that was acknowledged; nil where nothing says it.
  var row: Int64? { (try? Self.row(at: path)) ?? nil }

  /// A mark that is there and cannot be read may say that something is missing.
  static func row(at path: String) throws(StoreError) -> Int64? {
    let row = try lines(path).first.flatMap { Int64($0) }
    return row.flatMap { (0..<1 << 50).contains($0) ? $0 : nil }
  }

  /// The newest batch that was acknowledged; nil where nothing says it. Earlier versions did not note it.
  static func batch(at path: String) throws(StoreError) -> Int64? {
    guard let row = try row(at: path) else { return nil }
    let words = try lines(path).dropFirst().first?.split(separator: " ").map { Int64($0) } ?? []
    guard words.count == 2, let batch = words[0], RowSum.count(String(row), batch) == words[1] else { return nil }
    return batch
  }

  private static func lines(_ path: String) throws(StoreError) -> [String] {
    switch SmallFile.read(path) {
    case .success(let text):
      return (text ?? "").split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    case .failure(let error):
      throw StoreError(operation: "open", message: "\(path) cannot be read: \(SystemFault.words(error.code))")
    }
  }

  /// Sets it, and has it on the disk when this returns.
  func keep(_ row: Int64, batch: Int64) {
    guard descriptor >= 0 else { return }
    set(row, batch: batch)
    fdatasync(descriptor)
    SmallFile.syncDirectory(of: path)
  }

  /// A mark that could not be set stays behind, which does no harm.
  func set(_ row: Int64, batch: Int64) {
    guard descriptor >= 0 else { return }
    // Of one length, so that a shorter number leaves nothing of a longer one.
    let text =
      Self.line("\(row)", length: 20) + Self.line("\(batch) \(RowSum.count(String(row), batch))", length: 41)
    _ = unsafe pwrite(descriptor, text, text.count, 0)
  }
}

extension JournalMark {
  func set(_ marks: SQLiteStore.Ledger.Marks) { set(marks.lastRow, batch: marks.lastBatch) }

  private static func line(_ text: String, length: Int) -> [UInt8] {
    Array(repeating: 0x20, count: max(0, length - text.utf8.count)) + Array(text.utf8) + [0x0A]
  }
}

/// The system's words for an error number.
enum SystemFault {
  static func words(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
}
