internal import NIOSSL
internal import Synchronization

internal import Glibc

/// The result of checking a TLS listener's files.
public enum CertificateReload: Sendable, Hashable {
  /// The files have not changed since they were last read.
  case unchanged
  /// New connections get the new certificate, valid until this second since the Unix epoch.
  case reloaded(expiresAt: Int64)
  /// The new files can't be used; the earlier ones stay in use.
  case refused(RPCError)
}

/// One TLS listener's certificate, key and authority, read again when their files change.
final class ServerCertificates: Sendable {
  let files: ServerTLS

  private struct State {
    var current: TLSContexts.Server
    /// The versions of the files as they were last read, usable or not.
    var stamps: [Stamp?]
  }
  private let state: Mutex<State>

  /// Identifies a version of a file. Links are followed, so replacing a link is a change.
  fileprivate struct Stamp: Equatable {
    /// The bytes of a timespec; the module that declares its fields depends on a build's other imports.
    var modified: [UInt8]
    var size: Int
    var inode: UInt64
    var device: UInt64
  }

  init(_ files: ServerTLS) throws(RPCError) {
    self.files = files
    // Before the files are read, so that the next check sees a change in between.
    let stamps = Self.stamps(files)
    state = Mutex(State(current: try TLSContexts.server(files), stamps: stamps))
  }

  /// The context for a new connection. Open connections keep the one that they began with.
  var context: NIOSSLContext { state.withLock { $0.current.context } }
  /// When the certificate expires, in seconds since the Unix epoch.
  var expiresAt: Int64 { state.withLock { $0.current.expiresAt } }

  /// Reads the files if they changed since they were last read, or `always`. Reads the disk: not for event loops.
  func reload(always: Bool, now: Int64) -> CertificateReload {
    let stamps = Self.stamps(files)
    guard always || stamps != state.withLock({ $0.stamps }) else { return .unchanged }
    do throws(RPCError) {
      let new = try TLSContexts.server(files)
      return try state.withLock { state throws(RPCError) in
        state.stamps = stamps
        guard new.expiresAt > now || state.current.expiresAt <= now else {
          throw RPCError(
            .failedPrecondition, "TLS: the certificate chain \(files.certificateChainFile) has expired already")
        }
        state.current = new
        return .reloaded(expiresAt: new.expiresAt)
      }
    } catch {
      state.withLock { $0.stamps = stamps }
      return .refused(error)
    }
  }

  private static func stamps(_ files: ServerTLS) -> [Stamp?] {
    [files.certificateChainFile, files.privateKeyFile, files.clientAuthorityFile].map { $0.flatMap(Stamp.init(of:)) }
  }
}

extension ServerCertificates.Stamp {
  fileprivate init?(of path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    let time = status.st_mtim
    self.init(
      modified: withUnsafeBytes(of: time) { Array($0) }, size: Int(status.st_size), inode: UInt64(status.st_ino),
      device: UInt64(status.st_dev))
  }
}
