internal import Glibc
internal import Logging
internal import MendCore

/// A data directory that was renamed while attempts ran.
extension LocalExecutor {
  /// An attempt that runs knows paths below the directory's earlier name: the server's socket, its TMPDIR. Where nothing
  /// is at that name any more, a link there leads to the directory, so that the attempt's workers find this server.
  func leaveLink(for key: AttemptKey, in directory: AttemptDirectory) {
    let prefix = "unix:"
    let socketName = "/mend.sock"
    guard let launch = (try? directory.read(AttemptRecords.launch)) ?? nil,
      let endpoint = launch.environment["MEND_ENDPOINT"], endpoint != settings.endpoint, endpoint.hasPrefix(prefix),
      endpoint.hasSuffix(socketName), settings.endpoint.hasSuffix(socketName)
    else { return }
    let here = String(settings.endpoint.dropFirst(prefix.count).dropLast(socketName.count))
    let earlier = String(endpoint.dropFirst(prefix.count).dropLast(socketName.count))
    switch FileSystem.leadThere(from: earlier, to: here) {
    case .led: break
    case .linked(let path):
      settings.logger.notice(
        "the data directory was renamed while attempts ran; a link at its earlier name leads their workers here",
        metadata: ["attempt": "\(key)", "link": "\(path)", "todo": "remove it when they are over"])
    case .failed(let why):
      settings.logger.error(
        "the data directory was renamed while this attempt ran, and its workers do not find this server",
        metadata: [
          "attempt": "\(key)", "earlier_name": "\(earlier)", "error": "\(why)",
          "todo": "make \(earlier) a link to \(here), or heal the batch where it is stuck",
        ])
    }
  }
}

extension FileSystem {
  enum Leading: Equatable {
    /// The link was there already.
    case led
    /// A link was made at this path.
    case linked(String)
    case failed(String)
  }

  /// Makes `path` lead to the directory `destination`, with a link if nothing is there. Replaces nothing. The target of an
  /// earlier link may be the missing name.
  static func leadThere(from path: String, to destination: String) -> Leading {
    guard let wanted = identity(of: destination) else { return .failed("\(destination) cannot be looked at") }
    var path = path
    // As many links as the kernel follows.
    for _ in 0..<40 {
      if let found = identity(of: path) {
        return found == wanted ? .led : .failed("something else is at \(path)")
      }
      guard errno == ENOENT else { return .failed("\(SystemError("stat \(path)"))") }
      guard let next = linked(from: path) else {
        return unsafe symlink(destination, path) == 0 ? .linked(path) : .failed("\(SystemError("symlink \(path)"))")
      }
      path = next
    }
    return .failed("too many links at \(path)")
  }

  /// Returns the target of a link as an absolute path; nil if there is no link.
  private static func linked(from path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = unsafe readlink(path, &buffer, buffer.count)
    guard length > 0 else { return nil }
    let target = String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if target.hasPrefix("/") { return target }
    return path[..<(path.lastIndex(of: "/") ?? path.startIndex)] + "/" + target
  }

  private struct Identity: Equatable {
    var device: dev_t
    var inode: ino_t
  }

  private static func identity(of path: String) -> Identity? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return Identity(device: status.st_dev, inode: status.st_ino)
  }
}
