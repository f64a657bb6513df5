#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A tokens file as `mend token` changes it: one writer at a time, and never half a file.
///
/// Writers hold the file's own lock (flock). Adding appends; taking back writes a new file beside it and moves it into its
/// place, so that a server reads the old one or the new one.
public struct TokensFile: Sendable {
  public let path: String

  public init(path: String) { self.path = path }

  /// The entries, in the order of the file.
  public func entries() throws(TokensError) -> [TokenEntry] { try TokenEntry.parse(try Tokens.read(path).bytes) }

  /// Adds an entry to the file, which is made with mode 0600 where there is none. One write; it is on the disk when this
  /// returns.
  public func append(_ entry: TokenEntry) throws(TokensError) {
    try withLock(flags: O_WRONLY | O_APPEND | O_CREAT) { descriptor throws(TokensError) in
      // Also where it was there with a wider mode.
      guard fchmod(descriptor, 0o600) == 0 else { throw TokensError(Tokens.failure("fchmod", path)) }
      var line = try entry.line()
      // A last line without its newline would swallow this one.
      if let last = try? Tokens.read(path).bytes.last, last != UInt8(ascii: "\n") {
        line.insert(UInt8(ascii: "\n"), at: 0)
      }
      try Self.write(line, to: descriptor, path)
    }
  }

  /// Takes entries back: every one whose id or name is `which`. Lines that are none of them stay as they are.
  ///
  /// - Returns: what was taken back; empty, and the file untouched, where nothing matched.
  public func revoke(_ which: String) throws(TokensError) -> [TokenEntry] {
    var revoked: [TokenEntry] = []
    try withLock(flags: O_RDONLY) { _ throws(TokensError) in
      let bytes = try Tokens.read(path).bytes
      revoked = try TokenEntry.parse(bytes).filter { $0.id == which || (!which.isEmpty && $0.name == which) }
      guard !revoked.isEmpty else { return }
      let gone = Set(revoked.map(\.hash))
      var kept: [UInt8] = []
      for line in bytes.split(separator: UInt8(ascii: "\n")) {
        if let entry = try TokenEntry.parse(Array(line)).first, gone.contains(entry.hash) { continue }
        kept += line + [UInt8(ascii: "\n")]
      }
      try replace(with: kept)
    }
    return revoked
  }

  private func replace(with bytes: [UInt8]) throws(TokensError) {
    let new = path + ".new"
    unlink(new)
    let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw TokensError(Tokens.failure("open", new)) }
    defer { close(descriptor) }
    do throws(TokensError) {
      try Self.write(bytes, to: descriptor, new)
    } catch {
      unlink(new)
      throw error
    }
    guard rename(new, path) == 0 else { throw TokensError(Tokens.failure("rename", new)) }
  }

  private func withLock(flags: Int32, _ body: (Int32) throws(TokensError) -> Void) throws(TokensError) {
    while true {
      let descriptor = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard descriptor >= 0 else { throw TokensError(Tokens.failure("open", path)) }
      // Closing gives the lock up.
      defer { close(descriptor) }
      guard flock(descriptor, LOCK_EX) == 0 else { throw TokensError(Tokens.failure("flock", path)) }
      // Somebody may have moved another file into the place while this one waited.
      var mine = stat()
      var there = stat()
      guard fstat(descriptor, &mine) == 0 else { throw TokensError(Tokens.failure("fstat", path)) }
      guard stat(path, &there) == 0, mine.st_ino == there.st_ino, mine.st_dev == there.st_dev else { continue }
      return try body(descriptor)
    }
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws(TokensError) {
    let count = bytes.withUnsafeBytes { buffer in
      #if canImport(Glibc)
      Glibc.write(descriptor, buffer.baseAddress, buffer.count)
      #else
      Darwin.write(descriptor, buffer.baseAddress, buffer.count)
      #endif
    }
    guard count == bytes.count else { throw TokensError(Tokens.failure("write", path)) }
    guard fsync(descriptor) == 0 else { throw TokensError(Tokens.failure("fsync", path)) }
  }
}
