import Foundation
import MendRuntime

extension JournalFile {
  /// Follows the journal's path in the name of a directory with damaged files; a time follows it.
  static let keptSuffix = "-kept-"

  /// Takes back a rebuilding that was interrupted before the new file was in place. Restores the log from the kept files,
  /// and removes those, which are links to the present ones.
  ///
  /// This comes before any change: after one, the kept log no longer fits the database.
  func takeBackRebuilding() throws(StoreError) {
    let manager = FileManager.default
    guard let present = identity(path) else { return }
    let name = (path as NSString).lastPathComponent + Self.keptSuffix
    let directory = (path as NSString).deletingLastPathComponent
    let entries = (try? manager.contentsOfDirectory(atPath: directory)) ?? []
    for entry in entries.sorted(by: >) where entry.hasPrefix(name) {
      let kept = "\(directory)/\(entry)"
      guard identity("\(kept)/journal.sqlite") == present else { continue }
      do {
        try linkLog(from: kept)
        try manager.removeItem(atPath: kept)
      } catch {
        throw StoreError(
          operation: "open",
          message: "a rebuilding of \(path) was cut off, and \(logPath) cannot be brought back from \(kept): \(error)")
      }
    }
  }

  /// Restores the kept log if there is no log in its place.
  func linkLog(from kept: String) throws {
    let manager = FileManager.default
    let log = "\(kept)/journal.sqlite-wal"
    guard manager.fileExists(atPath: log), try !hasLog() else { return }
    // Whoever looks at a database makes one that is empty.
    if manager.fileExists(atPath: logPath) { try manager.removeItem(atPath: logPath) }
    try manager.linkItem(atPath: log, toPath: logPath)
    SmallFile.syncDirectory(of: path)
  }

  private func identity(_ path: String) -> Identity? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? Identity(status) : nil
  }
}
