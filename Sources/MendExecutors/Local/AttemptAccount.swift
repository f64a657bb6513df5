internal import Glibc

/// The user that entrypoints run as, with its own group and no other.
package struct AttemptAccount: Codable, Hashable, Sendable {
  var user: UInt32
  var group: UInt32
  var home: String

  enum CodingKeys: String, CodingKey { case user, group, home }

  init(user: UInt32, group: UInt32, home: String) {
    self.user = user
    self.group = group
    self.home = home
  }

  /// By its name, as in /etc/passwd. Throws where there is none, where it is root, and where this process may not start
  /// others in its name.
  package init(name: String) throws(LocalExecutor.SetupError) {
    guard let entry = unsafe getpwnam(name) else {
      throw LocalExecutor.SetupError(description: "unknown user '\(name)' on this machine; useradd creates one")
    }
    let (user, group) = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
    guard user != 0 else {
      throw LocalExecutor.SetupError(description: "'\(name)' is root: choose a user with fewer rights")
    }
    guard geteuid() == 0 else {
      throw LocalExecutor.SetupError(
        description: "attempts cannot run as '\(name)': only root may start processes as another user. Serve as root, "
          + "or as '\(name)' itself")
    }
    self.init(user: user, group: group, home: unsafe String(cString: entry.pointee.pw_dir))
  }
}

extension FileSystem {
  /// Hands a file to a user, or to a group alone (`user` nil), with these permissions.
  static func hand(
    _ path: String, to account: AttemptAccount, asOwner: Bool, mode: mode_t
  ) throws(SystemError) {
    guard unsafe chown(path, asOwner ? account.user : uid_t.max, account.group) == 0, unsafe chmod(path, mode) == 0
    else { throw SystemError("chown \(path)") }
  }

  static func permit(_ path: String, mode: mode_t) throws(SystemError) {
    guard unsafe chmod(path, mode) == 0 else { throw SystemError("chmod \(path)") }
  }

  static func isRegularFile(_ path: String) -> Bool {
    var status = stat()
    return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}

extension LocalExecutor {
  /// Lets attempts' user through to the directories that are its own, and to nothing else below the data directory.
  static func open(_ data: String, _ attempts: String) throws(SystemError) {
    for name in try FileSystem.names(in: data) where FileSystem.isRegularFile("\(data)/\(name)") {
      try FileSystem.permit("\(data)/\(name)", mode: 0o600)
    }
    for path in [data, attempts] { try FileSystem.permit(path, mode: 0o711) }
  }

  /// Gives the attempts' user access to an attempt's own directory and to the server's socket.
  func hand(_ directory: AttemptDirectory, to account: AttemptAccount) throws(SystemError) {
    try FileSystem.permit(directory.path, mode: 0o711)
    try FileSystem.hand(directory.work, to: account, asOwner: true, mode: 0o700)
    try FileSystem.hand(directory.manifest, to: account, asOwner: false, mode: 0o640)
    let socket = settings.endpoint.dropFirst("unix:".count)
    if settings.endpoint.hasPrefix("unix:"), try FileSystem.exists(String(socket)) {
      try FileSystem.hand(String(socket), to: account, asOwner: false, mode: 0o660)
    }
  }
}
