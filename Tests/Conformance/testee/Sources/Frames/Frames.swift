import Foundation

/// Frames on standard input and output: four bytes of length, the lowest first, then that many bytes.
public enum Frames {
  /// The next frame's bytes; nil at the end of the input, also where it ends within a frame.
  public static func read() throws -> [UInt8]? {
    guard let prefix = try read(exactly: 4) else { return nil }
    return try read(exactly: prefix.reversed().reduce(0) { $0 << 8 | Int($1) })
  }

  /// Writes a frame at once: the other side waits for it before it asks again.
  public static func write(_ bytes: [UInt8]) throws {
    let count = UInt32(bytes.count)
    let prefix = [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: count >> UInt32($0)) }
    try FileHandle.standardOutput.write(contentsOf: Data(prefix + bytes))
  }

  private static func read(exactly count: Int) throws -> [UInt8]? {
    var bytes: [UInt8] = []
    while bytes.count < count {
      guard let data = try FileHandle.standardInput.read(upToCount: count - bytes.count), !data.isEmpty else {
        return nil
      }
      bytes += data
    }
    return bytes
  }
}
