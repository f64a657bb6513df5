import Foundation

/// Reads small files beside the journal.
enum SmallFile {
  private static let mostBytes = 4096

  /// Reads a file; nil if there is none.
  static func read(_ path: String) -> Result<String?, SystemError> {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return errno == ENOENT ? .success(nil) : .failure(SystemError(code: errno)) }
    defer { close(descriptor) }
    return read(descriptor).map { $0 }
  }

  /// Syncs the directory of a file, so that the file's name survives a power cut.
  static func syncDirectory(of path: String) {
    let directory = unsafe open((path as NSString).deletingLastPathComponent, O_RDONLY | O_CLOEXEC)
    guard directory >= 0 else { return }
    fsync(directory)
    close(directory)
  }

  static func read(_ descriptor: CInt) -> Result<String, SystemError> {
    var bytes = [UInt8](repeating: 0, count: mostBytes)
    let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
    guard count >= 0 else { return .failure(SystemError(code: errno)) }
    return .success(String(decoding: bytes.prefix(count), as: UTF8.self))
  }
}
