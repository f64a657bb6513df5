import Foundation

/// Tells this build of the program from every other one: a snapshot is only read by the build that wrote it.
///
/// The journal is the truth, and any later build folds it anew. So a snapshot needs no versions, and no field of a
/// batch can be forgotten in it.
enum ProgramFingerprint {
  /// Of the executable's bytes; read once, when a snapshot is first written or found. Nil where they can't be read.
  static let current: UInt64? = {
    let path = FileManager.default.fileExists(atPath: "/proc/self/exe") ? "/proc/self/exe" : Bundle.main.executablePath
    guard let path, let data = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      return nil
    }
    return unsafe data.withUnsafeBytes { unsafe checksum($0) }
  }()

  /// Differs, for all that chance can do, when the bytes do.
  static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var sum = UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15
    let words = bytes.count / 8
    for word in 0..<words {
      let value = unsafe bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
      sum = (sum ^ value) &* 0x9FB2_1C65_1E98_DF25
      sum ^= sum >> 32
    }
    for offset in (words * 8)..<bytes.count {
      sum = (sum ^ UInt64(unsafe bytes[offset])) &* 0x0000_0100_0000_01B3
    }
    return sum ^ sum >> 29
  }
}
