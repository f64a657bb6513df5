import Foundation
import GRDB
import MendRuntime

/// The database file and its write-ahead log as they lie on the disk, before SQLite touches them.
///
/// SQLite takes a log that it cannot read for an empty one, and throws the log of an empty database away: what was
/// acknowledged would be gone without a word.
struct JournalFile {
  let path: String
  var logPath: String { path + "-wal" }

  init(path: String) { self.path = path }

  /// Refuses what was a journal once and is none any more.
  ///
  /// - Parameter wasMade: a journal stood here before, so an empty file is no new one.
  func check(wasMade: Bool) throws(StoreError) {
    let hasLog = try hasLog()
    guard let status = try status(.database) else {
      guard !hasLog else {
        throw damage("\(path) is missing, and \(logPath) is there")
      }
      return
    }
    if status.st_size == 0, status.st_mode & S_IFMT == S_IFREG, wasMade || hasLog {
      throw damage("\(path) is empty, and it was not")
    }
    if hasLog { try checkLog() }
  }

  /// There is nothing in it, or no such file.
  func isEmpty() throws(StoreError) -> Bool { try status(.database).map { $0.st_size == 0 } ?? true }

  func hasLog() throws(StoreError) -> Bool { try status(.log).map { $0.st_size > 0 } ?? false }

  /// Nil where there is no such file. One that cannot be looked at is not taken for gone.
  private func status(_ part: Part) throws(StoreError) -> stat? { try Self.status(path + part.rawValue) }

  private static func status(_ path: String) throws(StoreError) -> stat? {
    var status = stat()
    if unsafe stat(path, &status) == 0 { return status }
    guard errno == ENOENT || errno == ENOTDIR else {
      throw StoreError(operation: "open", message: "\(path) cannot be looked at: \(SystemFault.words(errno))")
    }
    return nil
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
      guard let status = try Self.status(path + part), status.st_mode & 0o077 != 0 else { continue }
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

  /// Reads the log from its beginning to its end, in pieces.
  private func checkLog() throws(StoreError) {
    let descriptor = unsafe open(logPath, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return }
      throw StoreError(operation: "open", message: "\(logPath) cannot be opened: \(SystemFault.words(errno))")
    }
    defer { close(descriptor) }
    do {
      var bytes = LogBytes(descriptor)
      let header = try bytes.next(LogCheck.headerBytes)
      // Shorter, or zeros: a power cut came before the header was on the disk, and before any commit.
      guard header.count == LogCheck.headerBytes, header.contains(where: { $0 != 0 }) else { return }
      guard var check = LogCheck(header) else { throw damage("the header of \(logPath) is no log's") }
      while true {
        let frame = try bytes.next(check.frameBytes)
        guard frame.count == check.frameBytes else { break }
        check.take(frame)
      }
      // One commit may be half on the disk after a power cut, for it was not acknowledged. None follows it.
      let lost = check.commitsBehindDamage
      if lost > 1 { throw damage("\(logPath) is broken in the middle, and \(lost) commits follow") }
    } catch let error as StoreError {
      throw error
    } catch let error as SystemError {
      throw damage("\(logPath) cannot be read: \(SystemFault.words(error.code))")
    } catch {
      throw StoreError(operation: "open", message: "\(logPath): \(error)")
    }
  }

  private func damage(_ what: String) -> StoreError {
    StoreError(
      operation: "open",
      message:
        "\(what); the journal is damaged: bring journal.sqlite and all that begins with its name back from a copy, "
        + "as they were at one moment. Without one: mend doctor --data DIR --rebuild makes a journal of what can still be "
        + "read, without what was acknowledged after the damage, and keeps these files; or move them away and start with "
        + "an empty journal, which knows nothing of what runs")
  }

  /// The files that SQLite has open while a pool lives.
  enum Part: String, CaseIterable {
    case database = ""
    case log = "-wal"
    case index = "-shm"
  }

  /// Which files they are: another one in a place, or none, holds nothing of what is written from now on.
  /// - Throws: where that cannot be known.
  func identities() throws(StoreError) -> [Identity?] {
    var found: [Identity?] = []
    for part in Part.allCases {
      var status = stat()
      if unsafe stat(path + part.rawValue, &status) == 0 {
        found.append(Identity(status))
      } else if errno == ENOENT || errno == ENOTDIR {
        found.append(nil)
      } else {
        throw StoreError(
          operation: "commit",
          message: "\(path + part.rawValue) cannot be looked at: \(SystemFault.words(errno)); whether anything can be "
            + "kept is not known: give the directory and the files in it back to the server's user, then start again")
      }
    }
    return found
  }

  /// Of the write-ahead log, as the file system has it; 0 where that is not known.
  var logBytes: Int64 {
    var status = stat()
    return unsafe stat(logPath, &status) == 0 ? Int64(status.st_size) : 0
  }

  struct Identity: Hashable {
    var device: UInt64
    var number: UInt64

    init(_ status: stat) { (device, number) = (UInt64(status.st_dev), UInt64(status.st_ino)) }
  }
}
