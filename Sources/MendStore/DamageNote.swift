import Foundation
import MendRuntime

/// A note beside the journal that a page of it could not be read when it was to be changed: the next server looks before
/// it takes anything, and does not end where the one before it did.
struct DamageNote {
  static let suffix = "-damaged"
  let path: String

  /// - Parameter journal: the database's path.
  init(journal: String) { path = journal + Self.suffix }

  var text: String? { try? String(contentsOfFile: path, encoding: .utf8) }

  func write(_ words: String) { try? Data("\(words)\n".utf8).write(to: URL(fileURLWithPath: path)) }

  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
