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
    let text: String
    switch SmallFile.read(path) {
    case .success(nil): return nil
    case .success(let found?): text = found
    case .failure(let error):
      throw StoreError(operation: "open", message: "\(path) cannot be read: \(SystemFault.words(error.code))")
    }
    let row = text.split(separator: "\n").first.flatMap { Int64($0.trimmingCharacters(in: .whitespaces)) }
    return row.flatMap { (0..<1 << 50).contains($0) ? $0 : nil }
  }

  /// Sets it, and has it on the disk when this returns.
  func keep(_ row: Int64) {
    guard descriptor >= 0 else { return }
    set(row)
    fdatasync(descriptor)
    SmallFile.syncDirectory(of: path)
  }

  /// A mark that could not be set stays behind, which does no harm.
  func set(_ row: Int64) {
    guard descriptor >= 0 else { return }
    var text = Array("\(row)".utf8)
    // Of one length, so that a shorter number leaves nothing of a longer one.
    text = Array(repeating: 0x20, count: max(0, 20 - text.count)) + text + [0x0A]
    _ = unsafe pwrite(descriptor, text, text.count, 0)
  }
}

/// The system's words for an error number.
enum SystemFault {
  static func words(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
}
