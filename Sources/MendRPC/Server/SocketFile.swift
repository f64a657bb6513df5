internal import Glibc

/// Unix sockets: the file of a listening socket, and socket pairs.
enum SocketFile {
  /// Removes a dead server's socket file. Refuses a socket that is in use, and other files.
  static func prepare(_ path: String) throws(RPCError) {
    var info = stat()
    guard lstat(path, &info) == 0 else { return }
    guard info.st_mode & S_IFMT == S_IFSOCK else {
      throw RPCError(.alreadyExists, "\(path) exists and is not a socket; choose another path or remove it")
    }
    guard !isAnswered(path) else {
      throw RPCError(.unavailable, "another server listens on \(path)")
    }
    unlink(path)
  }

  /// Lets only its owner use the file.
  static func restrict(_ path: String) throws(RPCError) {
    guard chmod(path, 0o600) == 0 else {
      throw RPCError(.internal, "can't set the mode of \(path): error \(errno)")
    }
  }

  /// Two connected sockets, owned by the caller.
  static func pair() throws(RPCError) -> (CInt, CInt) {
    var ends: [CInt] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
      throw RPCError(.unavailable, "can't make a socket pair: error \(errno)")
    }
    return (ends[0], ends[1])
  }

  static func close(_ descriptor: CInt) {
    _ = Glibc.close(descriptor)
  }

  static func remove(_ path: String) {
    unlink(path)
  }

  private static func isAnswered(_ path: String) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < capacity else { return false }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
  }
}
