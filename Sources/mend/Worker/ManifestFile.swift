import MendProtobuf

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The attempt's manifest (MEND_MANIFEST): a JSON line a document that was to do when the attempt started.
enum ManifestFile {
  /// So many ids behind the line of `last`, from the beginning where it is nil; empty where there is no manifest.
  static func documentIDs(after last: String?, count: Int) -> [String] {
    guard let path = Environment["MEND_MANIFEST"] else { return [] }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var ids: [String] = []
    var isBehind = last == nil
    var line: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while ids.count < count {
      let length = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if length < 0, errno == EINTR { continue }
      guard length > 0 else { break }
      for byte in buffer[..<length] where ids.count < count {
        guard byte == UInt8(ascii: "\n") else {
          line.append(byte)
          continue
        }
        if let id = documentID(line) {
          if isBehind { ids.append(id) } else { isBehind = id == last }
        }
        line.removeAll(keepingCapacity: true)
      }
    }
    return ids
  }

  private static func documentID(_ line: [UInt8]) -> String? {
    guard case .string(let id)? = (try? JSONValue(parsing: String(decoding: line, as: UTF8.self)))?["document_id"]
    else { return nil }
    return id
  }
}
