internal import Glibc
internal import MendCore

/// The documents that an attempt has still to do, a JSON object a line:
/// `{"document_id", "uri", "path", "media_type", "size_bytes"}`.
///
/// `path` is empty where the uri is not a file's, or the file's name is not UTF-8; `size_bytes` is left out where it is not known.
enum Manifest {
  private static let chunk = 64 * 1024

  static func write(_ documents: [Document], to path: String) throws(SystemError) {
    let file = try FileSystem.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(chunk + 1024)
    for document in documents {
      append(document, to: &bytes)
      if bytes.count >= chunk {
        guard file.write(bytes[...]) else { throw SystemError("write \(path)") }
        bytes.removeAll(keepingCapacity: true)
      }
    }
    guard file.write(bytes[...]) else { throw SystemError("write \(path)") }
  }

  private static func append(_ document: Document, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: #"{"document_id":"#.utf8)
    JSONText.quote(document.id, to: &bytes)
    bytes.append(contentsOf: #","uri":"#.utf8)
    JSONText.quote(document.uri, to: &bytes)
    bytes.append(contentsOf: #","path":"#.utf8)
    JSONText.quote(filePath(of: document.uri), to: &bytes)
    bytes.append(contentsOf: #","media_type":"#.utf8)
    JSONText.quote(document.mediaType, to: &bytes)
    if document.size >= 0 { bytes.append(contentsOf: #","size_bytes":\#(document.size)"#.utf8) }
    bytes.append(UInt8(ascii: "}"))
    bytes.append(UInt8(ascii: "\n"))
  }

  /// JSON is text: a name that is none has its bytes in the uri alone.
  private static func filePath(of uri: String) -> String {
    FileURI.path(of: uri).flatMap { String(validating: $0, as: UTF8.self) } ?? ""
  }
}
