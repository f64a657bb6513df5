internal import Glibc

/// Reads a file of bounded size as a whole.
package enum WholeFile {
  package enum Fault: Error, Hashable, Sendable, CustomStringConvertible {
    /// The system's error number.
    case system(Int32)
    case tooLong(limit: Int)

    package var description: String {
      switch self {
      case .system(let number): String(cString: strerror(number))
      case .tooLong(let limit): "it has more than \(limit) bytes"
      }
    }
  }

  package static func bytes(of path: String, limit: Int) throws(Fault) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system(errno) }
    defer { close(descriptor) }
    return try bytes(of: descriptor, limit: limit)
  }

  package static func bytes(of descriptor: Int32, limit: Int) throws(Fault) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .system(errno) }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else { throw .tooLong(limit: limit) }
    }
  }
}
