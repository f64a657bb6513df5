import Foundation
import MendRuntime

/// Keeps a second server off a data directory: an advisory lock on DATA/lock, held as long as this lives.
///
/// The kernel drops it with the process, however that ends. The file stays, and says which process had it last, and
/// whether a journal was ever made beside it.
final class DirectoryLock: Sendable {
  private let descriptor: Int32
  /// As the servers before this one left it.
  let journalWasMade: Bool
  private static let journalMade = "journal made"

  /// - Throws: `StoreError` when another process, or another store of this one, holds it, or the directory can't be
  ///   written.
  init(directory: String) throws(StoreError) {
    let path = directory + "/lock"
    // Close-on-exec: an attempt that outlives the server must not hold its lock.
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw StoreError(operation: "open", message: "\(path) cannot be made: \(Self.reason(errno))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = Self.holder(path)
      close(descriptor)
      guard code == EWOULDBLOCK else {
        throw StoreError(operation: "open", message: "\(path) cannot be locked: \(Self.reason(code))")
      }
      throw StoreError(
        operation: "open",
        message: "\(directory) is in use by another server\(holder.map { " (pid \($0))" } ?? ""); "
          + "stop that one, or serve with another data directory")
    }
    journalWasMade = Self.lines(path).dropFirst().contains { $0 == Self.journalMade }
    do throws(StoreError) {
      try write(path, journalIsMade: journalWasMade)
    } catch {
      close(descriptor)
      throw error
    }
  }

  /// From now on an empty journal in this directory is a damaged one.
  func noteJournal(directory: String) throws(StoreError) {
    if !journalWasMade { try write(directory + "/lock", journalIsMade: true) }
  }

  private static func reason(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }

  private func write(_ path: String, journalIsMade: Bool) throws(StoreError) {
    let text = Array("\(getpid())\n\(journalIsMade ? Self.journalMade + "\n" : "")".utf8)
    guard unsafe pwrite(descriptor, text, text.count, 0) == text.count, ftruncate(descriptor, off_t(text.count)) == 0
    else {
      throw StoreError(operation: "open", message: "\(path) cannot be written: \(Self.reason(errno))")
    }
  }

  deinit { close(descriptor) }

  private static func lines(_ path: String) -> [String] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
  }

  private static func holder(_ path: String) -> Int32? {
    lines(path).first.flatMap { Int32($0) }
  }
}
