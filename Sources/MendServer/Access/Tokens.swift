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
  fileprivate struct Stamp: Equatable {
    var seconds: Int
    var nanoseconds: Int
    var size: Int
    var inode: UInt64
  }

  static let checkInterval: Duration = .seconds(1)
  /// No tokens file of a reasonable server is larger; one that is was given by mistake.
  static let maximumFileBytes = 16 << 20

  /// Reads the file; it must exist, so that a mistyped path is found at start.
  public init(path: String, logger: Logger) throws(TokensError) {
    self.path = path
    self.logger = logger
    let (bytes, stamp) = try Self.read(path)
    state = Mutex(State(entries: Self.index(try TokenEntry.parse(bytes)), stamp: stamp, checkedAt: .now))
  }

  /// The entry of a token as it was sent, or nil. The table is searched by eight bytes of the token's SHA-256, which
  /// nobody can steer towards an entry's; whole digests are compared in constant time.
  public func entry(for secret: String) -> TokenEntry? {
    let digest = SHA256.hash(data: Array(secret.utf8))
    let slot = Self.slot(digest)
    return state.withLock { state in
      refresh(&state)
      return state.entries[slot]?.first { digest == $0.digest }?.entry
    }
  }

  public var count: Int { state.withLock { state in state.entries.values.reduce(0) { $0 + $1.count } } }

  /// Looks at the file now instead of within a second.
  func reload() {
    state.withLock { state in
      state.checkedAt -= Self.checkInterval
      refresh(&state)
    }
  }

  private func refresh(_ state: inout State) {
    let now = ContinuousClock.now
    guard now - state.checkedAt >= Self.checkInterval else { return }
    state.checkedAt = now
    guard Self.stamp(path) != state.stamp else { return }
    do throws(TokensError) {
      let (bytes, stamp) = try Self.read(path)
      state.entries = Self.index(try TokenEntry.parse(bytes))
      state.stamp = stamp
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

  /// Adds an entry to a file, which is made with mode 0600 where there is none. One write, so that two writers cannot
  /// mix their lines; it is on the disk when this returns.
  public static func append(_ entry: TokenEntry, to path: String) throws(TokensError) {
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw TokensError(failure("open", path)) }
    defer { close(descriptor) }
    // Also where it was there with a wider mode.
    guard fchmod(descriptor, 0o600) == 0 else { throw TokensError(failure("fchmod", path)) }
    var line = try entry.line()
    // A last line without its newline would swallow this one.
    if let last = try? read(path).bytes.last, last != UInt8(ascii: "\n") { line.insert(UInt8(ascii: "\n"), at: 0) }
    guard line.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == line.count else {
      throw TokensError(failure("write", path))
    }
    guard fsync(descriptor) == 0 else { throw TokensError(failure("fsync", path)) }
  }

  private static func failure(_ call: String, _ path: String) -> String {
    let code = errno
    return "\(call) \(path): \(String(cString: strerror(code)))"
  }

  private static func stamp(_ path: String) -> Stamp? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Stamp(status)
  }

  private static func read(_ path: String) throws(TokensError) -> (bytes: [UInt8], stamp: Stamp) {
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
      seconds: time.tv_sec, nanoseconds: time.tv_nsec, size: Int(status.st_size), inode: UInt64(status.st_ino))
  }
}
