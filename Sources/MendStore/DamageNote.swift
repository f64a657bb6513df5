import Foundation
import MendRuntime

/// A note beside the journal that a page of it could not be read when it was to be changed: the next server looks before
/// it takes anything, and does not end where the one before it did.
struct DamageNote {
  static let suffix = "-damaged"
  let path: String

  /// - Parameter journal: the database's path.
  init(journal: String) { path = journal + Self.suffix }

  /// Nil where there is none; empty where it cannot be read.
  var text: String? {
    switch SmallFile.read(path) {
    case .success(let text): text
    case .failure: ""
    }
  }

  func write(_ words: String) { try? Data("\(words)\n".utf8).write(to: URL(fileURLWithPath: path)) }

  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
