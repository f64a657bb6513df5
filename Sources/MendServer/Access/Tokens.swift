import Crypto
import Glibc
package import Logging
import MendRPC
import Synchronization

/// The tokens that a server accepts: a file of hashes, reloaded when it changes.
///
/// The server checks for changes twice a second, off its event loops. A file that cannot be read or parsed is logged,
/// and the earlier tokens stay valid. If the file is gone, no token is valid.
package final class Tokens: Sendable {
  package let path: String
  private let logger: Logger
  /// The table in which calls look tokens up. Its lock is never held while the file is read.
  private let entries: Mutex<[UInt64: [Known]]>
  /// The version of the file that was seen last. Its lock is held while the file is read.
  private let stamp: Mutex<Stamp?>

  private struct Known {
    var digest: [UInt8]
    var entry: TokenEntry
  }

  /// Identifies a version of the file.
  struct Stamp: Equatable {
    var seconds: Int
    var nanoseconds: Int
    var size: Int
    var inode: UInt64
    var mode: UInt32
  }

  /// The time between two checks of the file, so that a revoked token is refused within a second.
  static let lookInterval: Duration = .milliseconds(500)
  /// A larger file is not a tokens file of a reasonable server, but a mistake.
  static let maximumFileBytes = 16 << 20

  /// Reads the file. It must exist, so that a mistyped path is found at start.
  package init(path: String, logger: Logger) throws(TokensError) {
    self.path = path
    self.logger = logger
    let (bytes, stamp) = try Self.read(path)
    try Self.check(stamp, path, logger)
    entries = Mutex(Self.index(try Self.entries(bytes, of: path)))
    self.stamp = Mutex(stamp)
  }

  /// Whoever can write the file can admit anybody. Whoever can read it learns the owners, but no token.
  private static func check(_ stamp: Stamp, _ path: String, _ logger: Logger) throws(TokensError) {
    guard stamp.mode & 0o022 == 0 else {
      throw TokensError(
        "\(path) is writable by users other than its owner (mode \(String(stamp.mode, radix: 8))); chmod 600 \(path)")
    }
    if stamp.mode & 0o077 != 0 {
      logger.warning(
        "the tokens file is readable by users other than its owner; chmod 600 \(path)",
        metadata: ["mode": "\(String(stamp.mode, radix: 8))"])
    }
  }

  /// The entry of a token, or nil. The table is searched by eight bytes of the token's SHA-256, which nobody can steer
  /// towards an entry; whole digests are compared in constant time.
  package func entry(for secret: String) -> TokenEntry? {
    let digest = SHA256.hash(data: Array(secret.utf8))
    let slot = Self.slot(digest)
    return entries.withLock { $0[slot]?.first { ConstantTime.areEqual(digest, $0.digest) }?.entry }
  }

  package var count: Int { entries.withLock { entries in entries.values.reduce(0) { $0 + $1.count } } }

  /// Reloads the file if it changed. Reads the disk: do not call it on an event loop.
  func look() { read(always: false) }

  /// Reloads the file, changed or not. Reads the disk: do not call it on an event loop.
  func reload() { read(always: true) }

  private func read(always: Bool) {
    stamp.withLock { known in
      guard always || Self.stamp(path) != known else { return }
      do throws(TokensError) {
        let (bytes, stamp) = try Self.read(path)
        // Logged once: refused or not, this version of the file was seen.
        known = stamp
        try Self.check(stamp, path, logger)
        let index = Self.index(try Self.entries(bytes, of: path))
        entries.withLock { $0 = index }
        logger.info("tokens were reloaded", metadata: ["path": "\(path)"])
      } catch {
        if Self.stamp(path) == nil {
          entries.withLock { $0 = [:] }
          known = nil
        }
        logger.error("tokens cannot be read", metadata: ["path": "\(path)", "error": "\(error)"])
      }
    }
  }

  /// Refuses reserved names. `TokenEntry.parse` does not, so that `mend token revoke` can remove such a token.
  private static func entries(_ bytes: [UInt8], of path: String) throws(TokensError) -> [TokenEntry] {
    let entries = try TokenEntry.parse(bytes)
    for entry in entries {
      guard let why = TokenEntry.whyNameIsTaken(entry.name, role: entry.role) else { continue }
      throw TokensError(
        "\(path): token \(entry.id): the name \(why), and revoke this one: mend token revoke --tokens \(path) \(entry.id)"
      )
    }
    return entries
  }

  private static func index(_ entries: [TokenEntry]) -> [UInt64: [Known]] {
    var index: [UInt64: [Known]] = [:]
    for entry in entries {
      guard let digest = Hex.decode(entry.hash) else { continue }
      index[slot(digest), default: []].append(Known(digest: digest, entry: entry))
    }
    return index
  }

  private static func slot(_ digest: some Sequence<UInt8>) -> UInt64 {
    digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}

// MARK: - Making tokens

extension Tokens {
  package static let secretPrefix = "mend_"

  /// Creates a token of 32 random bytes. The secret is shown once; the entry is stored.
  package static func create(
    namespace: String, role: Role, name: String = "", at seconds: Int64
  ) -> (secret: String, entry: TokenEntry) {
    var generator = SystemRandomNumberGenerator()
    let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    let secret = secretPrefix + Hex.encode(bytes)
    return (
      secret,
      TokenEntry(
        namespace: namespace, role: role, name: name, createdAt: seconds, hash: TokenEntry.hash(of: secret))
    )
  }

  /// Adds an entry to a file: `TokensFile.append`.
  package static func append(_ entry: TokenEntry, to path: String) throws(TokensError) {
    try TokensFile(path: path).append(entry)
  }

  static func failure(_ call: String, _ path: String) -> String {
    let code = errno
    return "\(call) \(path): \(String(cString: strerror(code)))"
  }

  private static func stamp(_ path: String) -> Stamp? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Stamp(status)
  }

  static func read(_ path: String) throws(TokensError) -> (bytes: [UInt8], stamp: Stamp) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TokensError(failure("open", path)) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw TokensError(failure("fstat", path)) }
    do throws(WholeFile.Fault) {
      return (try WholeFile.bytes(of: descriptor, limit: maximumFileBytes), Stamp(status))
    } catch {
      throw TokensError("\(path) cannot be read: \(error)")
    }
  }
}

extension Tokens.Stamp {
  init(_ status: stat) {
    let time = status.st_mtim
    self.init(
      seconds: time.tv_sec, nanoseconds: time.tv_nsec, size: Int(status.st_size), inode: UInt64(status.st_ino),
      mode: UInt32(status.st_mode) & 0o777)
  }
}
