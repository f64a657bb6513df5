import Foundation
import MendRuntime

extension JournalFile {
  /// Writes a log that was removed, but that this process still has open, to its place again.
  func putBack(_ log: Identity) throws(StoreError) {
    let new = logPath + "-saved"
    do throws(SystemError) {
      let source = try Self.descriptor(of: log)
      _ = unsafe unlink(new)
      let target = try checked(unsafe open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600))
      defer { close(target) }
      try Self.copy(source, to: target)
      _ = try checked(fsync(target))
      _ = try checked(unsafe rename(new, logPath))
      let directory = try checked(
        unsafe open((path as NSString).deletingLastPathComponent, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
      defer { close(directory) }
      _ = try checked(fsync(directory))
    } catch {
      _ = unsafe unlink(new)
      throw StoreError(
        operation: "save",
        message: "\(logPath) was removed or replaced while the server ran, and cannot be put back: "
          + "\(SystemFault.words(error.code)); the newest of what was acknowledged is lost with this process. The next "
          + "server says how much; or bring all files that begin with journal.sqlite back from a copy")
    }
  }

  /// The descriptor under which SQLite has a file open. The caller must not close it.
  private static func descriptor(of file: Identity) throws(SystemError) -> CInt {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    for descriptor in names.compactMap({ CInt($0) }) {
      var status = stat()
      if unsafe fstat(descriptor, &status) == 0, Identity(status) == file { return descriptor }
    }
    throw SystemError(code: ENOENT)
  }

  private static func copy(_ source: CInt, to target: CInt) throws(SystemError) {
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    var offset: off_t = 0
    while true {
      let count = try checked(unsafe pread(source, &piece, piece.count, offset))
      guard count > 0 else { return }
      var written = 0
      while written < count {
        let rest = piece[written..<count]
        written += try checked(unsafe rest.withUnsafeBytes { unsafe write(target, $0.baseAddress, $0.count) })
      }
      offset += off_t(count)
    }
  }
}

/// Returns the result of a system call, or throws its error.
private func checked<Answer: SignedInteger>(_ answer: Answer) throws(SystemError) -> Answer {
  guard answer >= 0 else { throw SystemError(code: errno) }
  return answer
}
