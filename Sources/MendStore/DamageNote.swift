import Foundation
import MendRuntime

/// A file beside the journal which says that a page had to be changed and could not be read. The next server checks the
/// journal before it accepts changes, and so does not fail where the one before it did.
struct DamageNote {
  static let suffix = "-damaged"
  let path: String

  /// - Parameter journal: the database's path.
  init(journal: String) { path = journal + Self.suffix }

  /// The note's text: nil if there is no note, empty if it cannot be read.
  var text: String? {
    switch SmallFile.read(path) {
    case .success(let text): text
    case .failure: ""
    }
  }

  func write(_ words: String) { try? Data("\(words)\n".utf8).write(to: URL(fileURLWithPath: path)) }

  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
