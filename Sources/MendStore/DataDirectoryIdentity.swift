import Foundation
import GRDB
import Glibc
package import MendCore
package import MendRuntime

/// Whether a journal belongs to the directory that holds it.
package enum DataDirectoryStanding: Sendable, Hashable {
  /// The journal was made in this directory.
  case own(ServerIdentity)
  /// The journal is a copy of one in another directory; nil if the original's path is unknown.
  case copy(of: String?)
}

/// A data directory has a random name that is bound to its `Place`. The journal keeps both; DATA/identity keeps the name.
///
/// A renamed directory keeps its place and its name. A copy has another place. A server that took a copy for the original
/// would end the original's attempts.
extension SQLiteStore {
  /// Tells whether the journal belongs to a directory. Names a directory that has no name yet; changes nothing in a copy.
  package func standing(of directory: String) throws(StoreError) -> DataDirectoryStanding {
    let place = try Place(of: directory)
    let name = try DirectoryName(in: directory)
    let found = try Self.access("identify", path) {
      try pool.write { database in
        try database.execute(sql: Self.table)
        if try !database.columns(in: "data_directory").contains(where: { $0.name == "file_system" }) {
          try database.execute(sql: "ALTER TABLE data_directory ADD COLUMN file_system TEXT NOT NULL DEFAULT ''")
        }
        return (
          row: try Row.fetchOne(
            database, sql: "SELECT id, path, device, inode, boot, owns_nameless, file_system FROM data_directory"),
          batches: try Int.fetchOne(database, sql: "SELECT count(*) FROM (SELECT 1 FROM batches LIMIT 1)") ?? 0
        )
      }
    }
    guard let row = found.row else {
      // Older than names. A journal is never without the lock that it was made under.
      let isEmpty = found.batches == 0
      guard isEmpty || (name.text == nil && journalWasMadeHere) else { return .copy(of: nil) }
      let identity = ServerIdentity(id: name.text ?? DirectoryName.make(), ownsNameless: true)
      // The journal comes first: a name without it would be a copy's.
      try bind(identity, to: place)
      try name.write(identity.id)
      return .own(identity)
    }
    let identity = ServerIdentity(id: row.text(0), ownsNameless: row.integer(5) == 1)
    let known = Place(
      path: row.text(1), device: row.integer(2), inode: row.integer(3), boot: row.text(4), fileSystem: row.text(6))
    guard known.isSame(as: place), name.text == nil || name.text == identity.id else { return .copy(of: known.path) }
    do throws(StoreError) {
      if name.text == nil { try name.write(identity.id) }
      if known != place { try bind(identity, to: place) }
    } catch {
      // What is known is enough; the next start writes it.
      guard error.isFull else { throw error }
    }
    return .own(identity)
  }

  /// Gives a copy its own name. Attempts that its journal calls running stay the original's.
  package func adoptCopy(in directory: String) throws(StoreError) -> ServerIdentity {
    let identity = ServerIdentity(id: DirectoryName.make(), ownsNameless: false)
    // The name of an installation on a Ray cluster is the original's, too.
    let ray = directory + "/ray.json"
    guard unsafe unlink(ray) == 0 || errno == ENOENT else {
      throw StoreError(
        operation: "identify", message: "\(ray) is the original's and cannot be removed: \(reason(errno))")
    }
    // A copy as long as the two say different things.
    try DirectoryName(in: directory).write(identity.id)
    try bind(identity, to: try Place(of: directory))
    return identity
  }

  static let table = """
    CREATE TABLE IF NOT EXISTS data_directory (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      id TEXT NOT NULL,
      path TEXT NOT NULL,
      device INTEGER NOT NULL,
      inode INTEGER NOT NULL,
      boot TEXT NOT NULL,
      -- Attempts without a name were begun here.
      owns_nameless INTEGER NOT NULL,
      -- Empty where it has no name that outlives its mount.
      file_system TEXT NOT NULL DEFAULT ''
    )
    """

  private func bind(_ identity: ServerIdentity, to place: Place) throws(StoreError) {
    try Self.access("identify", path) {
      try pool.write { database in
        try database.execute(
          sql: """
            INSERT OR REPLACE INTO data_directory (only, id, path, device, inode, boot, owns_nameless, file_system)
            VALUES (1, ?, ?, ?, ?, ?, ?, ?)
            """,
          arguments: [
            identity.id, place.path, place.device, place.inode, place.boot, identity.ownsNameless, place.fileSystem,
          ])
      }
    }
  }
}

/// The file DATA/identity, which holds a data directory's name.
private struct DirectoryName {
  /// The name; nil if there is no file, or a power cut left only a part of it.
  let text: String?
  private let path: String

  init(in directory: String) throws(StoreError) {
    path = directory + "/identity"
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
    guard file >= 0 else {
      guard errno == ENOENT else {
        throw StoreError(operation: "identify", message: "\(path) cannot be read: \(reason(errno))")
      }
      text = nil
      return
    }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 128)
    let count = unsafe read(file, &bytes, bytes.count)
    guard count >= 0 else {
      throw StoreError(operation: "identify", message: "\(path) cannot be read: \(reason(errno))")
    }
    let found = String(decoding: bytes.prefix(count), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    text = found.utf8.count == 32 && found.allSatisfy(\.isHexDigit) ? found : nil
  }

  static func make() -> String {
    (0..<2).map { _ in
      let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  func write(_ name: String) throws(StoreError) {
    let new = path + ".new"
    let file = unsafe open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    let bytes = Array("\(name)\n".utf8)
    let isWritten = unsafe file >= 0 && Glibc.write(file, bytes, bytes.count) == bytes.count && fsync(file) == 0
    let code = errno
    if file >= 0 { close(file) }
    guard isWritten, unsafe rename(new, path) == 0 else {
      let cause = isWritten ? errno : code
      throw StoreError(
        operation: "identify", message: "\(path) cannot be written: \(reason(cause))",
        isFull: cause == ENOSPC || cause == EDQUOT)
    }
    // Else a power cut could bring an adopted copy's earlier name back.
    SmallFile.syncDirectory(of: path)
  }
}

private func reason(_ code: CInt) -> String { SystemFault.words(code) }
