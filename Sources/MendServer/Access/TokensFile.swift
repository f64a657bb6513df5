import Glibc

/// A tokens file as `mend token` changes it: one writer at a time, and never half a file.
///
/// Writers hold the file's lock (flock). Adding appends. Revoking writes a new file and renames it over the old one, so
/// that a server reads one or the other.
package struct TokensFile: Sendable {
  package let path: String

  package init(path: String) { self.path = path }

  /// The entries, in the order of the file.
  package func entries() throws(TokensError) -> [TokenEntry] { try TokenEntry.parse(try Tokens.read(path).bytes) }

  /// Adds an entry to the file, which is created with mode 0600 if it is missing. One write, durable when this returns.
  package func append(_ entry: TokenEntry) throws(TokensError) {
    try withLock(flags: O_WRONLY | O_APPEND | O_CREAT) { descriptor throws(TokensError) in
      // Also if the file existed with a wider mode.
      guard fchmod(descriptor, 0o600) == 0 else { throw TokensError(Tokens.failure("fchmod", path)) }
      var line = try entry.line()
      // Without a newline at the end of the last line, this one would be appended to it.
      if let last = try? Tokens.read(path).bytes.last, last != UInt8(ascii: "\n") {
        line.insert(UInt8(ascii: "\n"), at: 0)
      }
      try Self.write(line, to: descriptor, path)
    }
  }

  /// Removes every entry whose id or name is `which`. Other lines stay unchanged.
  ///
  /// - Returns: the removed entries. If nothing matched it is empty, and the file is unchanged.
  package func revoke(_ which: String) throws(TokensError) -> [TokenEntry] {
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
      // Closing releases the lock.
      defer { close(descriptor) }
      guard flock(descriptor, LOCK_EX) == 0 else { throw TokensError(Tokens.failure("flock", path)) }
      // Another writer may have replaced the file while this one waited for the lock.
      var mine = stat()
      var there = stat()
      guard fstat(descriptor, &mine) == 0 else { throw TokensError(Tokens.failure("fstat", path)) }
      guard stat(path, &there) == 0, mine.st_ino == there.st_ino, mine.st_dev == there.st_dev else { continue }
      return try body(descriptor)
    }
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws(TokensError) {
    let count = bytes.withUnsafeBytes { buffer in
      Glibc.write(descriptor, buffer.baseAddress, buffer.count)
    }
    guard count == bytes.count else { throw TokensError(Tokens.failure("write", path)) }
    guard fsync(descriptor) == 0 else { throw TokensError(Tokens.failure("fsync", path)) }
  }
}
