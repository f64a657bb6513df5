import Foundation

/// A directory of a test's own, which goes with this value and takes all that is in it along.
///
/// Its path is short: a Unix socket in it has 107 bytes for its name.
public final class TemporaryDirectory: Sendable {
  public let path: String

  public init() throws {
    let name = "mend-" + String(UInt64.random(in: 0 ... .max), radix: 36)
    path = FileManager.default.temporaryDirectory.appending(path: name).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
