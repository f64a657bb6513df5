import Foundation
import MendRuntime

/// Keeps a second server off a data directory: an advisory lock on DATA/lock, held as long as this lives.
///
/// The kernel drops it with the process, however that ends. The file stays, and says which process had it last.
final class DirectoryLock: Sendable {
  private let descriptor: Int32

  /// - Throws: `StoreError` when another process, or another store of this one, holds it, or the directory can't be
  ///   written.
  init(directory: String) throws(StoreError) {
    let path = directory + "/lock"
    // Close-on-exec: an attempt that outlives the server must not hold its lock.
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw StoreError(operation: "open", message: "\(path) cannot be made: \(String(cString: strerror(errno)))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = Self.holder(path)
      close(descriptor)
      guard code == EWOULDBLOCK else {
        throw StoreError(operation: "open", message: "\(path) cannot be locked: \(String(cString: strerror(code)))")
      }
      throw StoreError(
        operation: "open",
        message: "\(directory) is in use by another server\(holder.map { " (pid \($0))" } ?? ""); "
          + "stop that one, or serve with another data directory")
    }
    let text = Array("\(getpid())\n".utf8)
    guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
      let code = errno
      close(descriptor)
      throw StoreError(operation: "open", message: "\(path) cannot be written: \(String(cString: strerror(code)))")
    }
  }

  deinit { close(descriptor) }

  private static func holder(_ path: String) -> Int32? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    return Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }
}
