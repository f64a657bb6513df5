import Foundation
import MendRuntime
import Synchronization

/// Keeps a second server out of a data directory with advisory locks on DATA/lock and on the journal, which it holds as
/// long as it lives. If somebody removes DATA/lock, the lock on the journal still holds.
///
/// The kernel releases the locks when the process ends. DATA/lock stays; it says which process held it last, and whether a
/// journal was ever made beside it.
final class DirectoryLock: Sendable {
  private let descriptor: Int32
  private let journal = Mutex<Int32?>(nil)
  /// Whether DATA/lock existed, and so a server used this directory before.
  let wasThere: Bool
  /// Whether an earlier server made a journal in this directory.
  let journalWasMade: Bool
  private static let journalMade = "journal made"

  /// Locks a directory without writing to it.
  init(reading directory: String) throws(StoreError) {
    let path = directory + "/lock"
    // Where there is none, the journal's own lock is enough.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    wasThere = file >= 0
    guard wasThere || errno == ENOENT else {
      throw StoreError(operation: "open", message: "\(path) cannot be read: \(Self.reason(errno))")
    }
    descriptor = wasThere ? file : unsafe open(directory, O_RDONLY | O_CLOEXEC)
    journalWasMade = wasThere ? try Self.journalWasMade(file, path) : false
    guard descriptor >= 0 else {
      throw StoreError(operation: "open", message: "\(directory) cannot be opened: \(Self.reason(errno))")
    }
    // From here on `deinit` closes it.
    try Self.lock(descriptor, wasThere ? path : directory, of: directory)
    try lockJournal(directory + "/journal.sqlite", in: directory, O_RDONLY)
  }

  /// - Throws: `StoreError` when another process, or another store of this one, holds it, or the directory can't be
  ///   written.
  init(directory: String) throws(StoreError) {
    let path = directory + "/lock"
    wasThere = unsafe access(path, F_OK) == 0
    // Close-on-exec: an attempt that outlives the server must not hold its lock.
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw StoreError(operation: "open", message: "\(path) cannot be made: \(Self.reason(errno))")
    }
    do throws(StoreError) {
      try Self.lock(descriptor, path, of: directory)
    } catch {
      close(descriptor)
      throw error
    }
    journalWasMade = try Self.journalWasMade(descriptor, path)
    // From here on `deinit` closes it.
    try write(path, journalIsMade: journalWasMade)
  }

  /// Takes the advisory lock, or throws at once if another process holds it. The descriptor stays open.
  static func lock(
    _ descriptor: CInt, _ path: String, of directory: String, saysHolder: Bool = true
  ) throws(StoreError) {
    guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { return }
    let code = errno
    guard code == EWOULDBLOCK else {
      throw StoreError(operation: "open", message: "\(path) cannot be locked: \(reason(code))")
    }
    let holder = saysHolder ? holder(descriptor) : nil
    throw StoreError(
      operation: "open",
      message: "\(directory) is in use by another server\(holder.map { " (pid \($0))" } ?? ""); "
        + "stop that one, or serve with another data directory")
  }

  /// Locks the journal's file too, and makes it if there is none.
  ///
  /// The descriptor stays open as long as the database: SQLite's own locks on a file end when any descriptor of it closes.
  func lockJournal(
    _ path: String, in directory: String, _ mode: CInt = O_RDWR | O_CREAT
  ) throws(StoreError) {
    let descriptor = unsafe open(path, mode | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw StoreError(operation: "open", message: "\(path) cannot be opened: \(Self.reason(errno))")
    }
    do throws(StoreError) {
      try Self.lock(descriptor, path, of: directory, saysHolder: false)
    } catch {
      close(descriptor)
      throw error
    }
    journal.withLock { $0 = descriptor }
  }

  /// Notes that this directory has a journal: an empty one is damaged from now on.
  func noteJournal(directory: String) throws(StoreError) {
    if !journalWasMade { try write(directory + "/lock", journalIsMade: true) }
  }

  private static func reason(_ code: CInt) -> String { SystemFault.words(code) }

  private func write(_ path: String, journalIsMade: Bool) throws(StoreError) {
    let text = Array("\(getpid())\n\(journalIsMade ? Self.journalMade + "\n" : "")".utf8)
    guard unsafe pwrite(descriptor, text, text.count, 0) == text.count, ftruncate(descriptor, off_t(text.count)) == 0
    else {
      throw StoreError(operation: "open", message: "\(path) cannot be written: \(Self.reason(errno))")
    }
  }

  deinit {
    journal.withLock { if let descriptor = $0 { _ = close(descriptor) } }
    close(descriptor)
  }

  /// Reads whether a journal was made here. Throws and closes the file if that cannot be read, so that nobody takes an empty
  /// journal for a new one.
  private static func journalWasMade(_ descriptor: CInt, _ path: String) throws(StoreError) -> Bool {
    switch lines(descriptor) {
    case .success(let lines): return lines.dropFirst().contains { $0 == journalMade }
    case .failure(let error):
      close(descriptor)
      throw StoreError(operation: "open", message: "\(path) cannot be read: \(reason(error.code))")
    }
  }

  private static func lines(_ descriptor: CInt) -> Result<[String], SystemError> {
    SmallFile.read(descriptor).map { $0.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) } }
  }

  private static func holder(_ descriptor: CInt) -> Int32? {
    guard case .success(let lines) = lines(descriptor) else { return nil }
    return lines.first.flatMap { Int32($0) }
  }
}
