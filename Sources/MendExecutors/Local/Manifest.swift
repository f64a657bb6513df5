internal import Glibc
internal import MendCore

/// The documents that an attempt has still to do, a JSON object a line:
/// `{"document_id", "uri", "path", "media_type", "size_bytes"}`.
///
/// `path` is empty where the uri is not a file's; `size_bytes` is left out where it is not known.
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
    JSONText.quote(filePath(of: document.uri) ?? "", to: &bytes)
    bytes.append(contentsOf: #","media_type":"#.utf8)
    JSONText.quote(document.mediaType, to: &bytes)
    if document.size >= 0 { bytes.append(contentsOf: #","size_bytes":\#(document.size)"#.utf8) }
    bytes.append(UInt8(ascii: "}"))
    bytes.append(UInt8(ascii: "\n"))
  }

  /// Of `file:///a%20b`, `file://localhost/a`, `file:/a` and of a plain absolute path; nil for anything else, and where
  /// a percent sign begins no byte.
  static func filePath(of uri: String) -> String? {
    if uri.hasPrefix("/") { return uri }
    let scheme = uri.lowercased()
    if scheme.hasPrefix("file:/"), !scheme.hasPrefix("file://") { return decodingPercents(uri.utf8.dropFirst(5)) }
    guard scheme.hasPrefix("file://") else { return nil }
    let rest = uri.utf8.dropFirst(7)
    guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
    let host = rest[..<slash]
    guard host.isEmpty || host.elementsEqual("localhost".utf8) else { return nil }
    return decodingPercents(rest[slash...])
  }

  private static func decodingPercents(_ text: Substring.UTF8View) -> String? {
    var bytes: [UInt8] = []
    var rest = text
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      let digits = String(decoding: rest.prefix(2), as: UTF8.self)
      guard digits.utf8.count == 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(digits, radix: 16) else {
        return nil
      }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
