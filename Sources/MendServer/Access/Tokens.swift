import Crypto
public import Logging
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The tokens that a server accepts: a file of hashes, read again when it changed.
///
/// A change counts at most a second later, without a restart. A file that can't be read or parsed leaves the tokens
/// that were good before, and is logged; a file that is gone leaves none.
public final class Tokens: Sendable {
  public let path: String
  private let logger: Logger
  private let state: Mutex<State>

  private struct State {
    var entries: [UInt64: [Known]] = [:]
    var stamp: Stamp?
    var checkedAt: ContinuousClock.Instant
  }

  private struct Known {
    var digest: [UInt8]
    var entry: TokenEntry
  }

  /// What tells one version of the file from the next.
  struct Stamp: Equatable {
    var seconds: Int
    var nanoseconds: Int
    var size: Int
    var inode: UInt64
    var mode: UInt32
  }

  static let checkInterval: Duration = .seconds(1)
  /// No tokens file of a reasonable server is larger; one that is was given by mistake.
  static let maximumFileBytes = 16 << 20

  /// Reads the file; it must exist, so that a mistyped path is found at start.
  public init(path: String, logger: Logger) throws(TokensError) {
    self.path = path
    self.logger = logger
    let (bytes, stamp) = try Self.read(path)
    try Self.check(stamp, path, logger)
    state = Mutex(State(entries: Self.index(try TokenEntry.parse(bytes)), stamp: stamp, checkedAt: .now))
  }

  /// Who can write the file can let anybody in; who can read it learns who is let in, and no token.
  private static func check(_ stamp: Stamp, _ path: String, _ logger: Logger) throws(TokensError) {
    guard stamp.mode & 0o022 == 0 else {
      throw TokensError(
        "\(path) can be written by others than its owner (mode \(String(stamp.mode, radix: 8))); chmod 600 \(path)")
    }
    if stamp.mode & 0o077 != 0 {
      logger.warning(
        "the tokens file can be read by others than its owner; chmod 600 \(path)",
        metadata: ["mode": "\(String(stamp.mode, radix: 8))"])
    }
  }

  /// The entry of a token as it was sent, or nil. The table is searched by eight bytes of the token's SHA-256, which
  /// nobody can steer towards an entry's; whole digests are compared in constant time.
  public func entry(for secret: String) -> TokenEntry? {
    let digest = SHA256.hash(data: Array(secret.utf8))
    let slot = Self.slot(digest)
    return state.withLock { state in
      refresh(&state)
      return state.entries[slot]?.first { ConstantTime.areEqual(digest, $0.digest) }?.entry
    }
  }

  public var count: Int { state.withLock { state in state.entries.values.reduce(0) { $0 + $1.count } } }

  /// Reads the file now, changed or not, instead of within a second of a change.
  func reload() {
    state.withLock { refresh(&$0, always: true) }
  }

  private func refresh(_ state: inout State, always: Bool = false) {
    let now = ContinuousClock.now
    guard always || now - state.checkedAt >= Self.checkInterval else { return }
    state.checkedAt = now
    guard always || Self.stamp(path) != state.stamp else { return }
    do throws(TokensError) {
      let (bytes, stamp) = try Self.read(path)
      // Told of once: refused or not, this version of the file was seen.
      state.stamp = stamp
      try Self.check(stamp, path, logger)
      state.entries = Self.index(try TokenEntry.parse(bytes))
      logger.info("tokens were read again", metadata: ["path": "\(path)"])
    } catch {
      if Self.stamp(path) == nil {
        state.entries = [:]
        state.stamp = nil
      }
      logger.error("tokens cannot be read", metadata: ["path": "\(path)", "error": "\(error)"])
    }
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
  public static let secretPrefix = "mend_"

  /// A new token: 32 random bytes. The secret is to be shown once; the entry is what is kept.
  public static func create(
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
  public static func append(_ entry: TokenEntry, to path: String) throws(TokensError) {
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
    guard status.st_size <= maximumFileBytes else {
      throw TokensError("\(path) has \(status.st_size) bytes; a tokens file has at most \(maximumFileBytes)")
    }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = chunk.withUnsafeMutableBytes { Self.readOnce(descriptor, $0) }
      guard count >= 0 else { throw TokensError(failure("read", path)) }
      if count == 0 { return (bytes, Stamp(status)) }
      bytes += chunk[..<count]
      guard bytes.count <= maximumFileBytes else { throw TokensError("\(path) is longer than a tokens file may be") }
    }
  }

  private static func readOnce(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    #if canImport(Glibc)
    Glibc.read(descriptor, buffer.baseAddress, buffer.count)
    #else
    Darwin.read(descriptor, buffer.baseAddress, buffer.count)
    #endif
  }
}

extension Tokens.Stamp {
  init(_ status: stat) {
    #if canImport(Glibc)
    let time = status.st_mtim
    #else
    let time = status.st_mtimespec
    #endif
    self.init(
      seconds: time.tv_sec, nanoseconds: time.tv_nsec, size: Int(status.st_size), inode: UInt64(status.st_ino),
      mode: UInt32(status.st_mode) & 0o777)
  }
}
