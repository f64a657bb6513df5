import MendAPI

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Documents made from the files of a command line.
enum FileDocuments {
  static let idMaximumLength = 64

  /// One document a file, in the files' order.
  ///
  /// - Throws: `ProgramError` (wrong usage) that names the first file that is missing, unreadable or no regular file.
  static func documents(of files: [String]) throws -> [Document] {
    let directory = currentDirectory()
    let ids = ids(of: files)
    var documents: [Document] = []
    documents.reserveCapacity(files.count)
    for (file, id) in zip(files, ids) {
      var document = Document()
      document.documentID = id
      document.uri = uri(of: absolutePath(file, in: directory))
      document.mediaType = mediaType(of: file)
      document.sizeBytes = try size(of: file)
      documents.append(document)
    }
    return documents
  }

  /// An id for each file from its name: letters, digits and hyphens, 1 to 64, each id once. The same list of files gives
  /// the same ids.
  static func ids(of files: [String]) -> [String] {
    let names = files.map { id(fromName: name(of: $0)) }
    // A name that is there once keeps it; the others are numbered around all names.
    var taken = Set(names)
    var seen: Set<String> = []
    return names.map { name in
      if seen.insert(name).inserted { return name }
      var number = 2
      while true {
        let suffix = "-\(number)"
        let candidate = String(name.prefix(idMaximumLength - suffix.count)) + suffix
        if taken.insert(candidate).inserted {
          seen.insert(candidate)
          return candidate
        }
        number += 1
      }
    }
  }

  /// `Q4 report.pdf` → `Q4-report-pdf`; `document` where nothing is left.
  static func id(fromName name: String) -> String {
    var id = ""
    for scalar in name.unicodeScalars {
      let isKept = scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
      if isKept { id.unicodeScalars.append(scalar) } else if !id.isEmpty, id.last != "-" { id.append("-") }
      if id.count == idMaximumLength { break }
    }
    while id.last == "-" { id.removeLast() }
    return id.isEmpty ? "document" : id
  }

  private static func name(of path: String) -> String {
    String(path.split(separator: "/").last ?? Substring(path))
  }

  /// RFC 8089: `file:///` and the path with everything but unreserved characters and slashes percent-encoded.
  static func uri(of path: String) -> String {
    var uri = "file://"
    for byte in path.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: "/"):
        uri.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let hex = String(byte, radix: 16, uppercase: true)
        uri += "%" + (hex.count == 1 ? "0" + hex : hex)
      }
    }
    return uri
  }

  /// The file that a `file:` URI or a bare absolute path names, as bytes; nil for other schemes and for broken
  /// percent-encoding.
  static func path(of uri: String) -> [UInt8]? {
    if uri.hasPrefix("/") { return Array(uri.utf8) }
    var rest: Substring.UTF8View
    if uri.hasPrefix("file:///") {
      rest = uri.dropFirst(7).utf8
    } else if uri.hasPrefix("file://localhost/") {
      rest = uri.dropFirst(16).utf8
    } else if uri.hasPrefix("file:/") {
      rest = uri.dropFirst(5).utf8
    } else {
      return nil
    }
    var path: [UInt8] = []
    path.reserveCapacity(rest.count)
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        path.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(hexValue), let low = rest.popFirst().flatMap(hexValue) else {
        return nil
      }
      path.append(high << 4 | low)
    }
    return path.contains(0) ? nil : path
  }

  /// A relative path as the URI of its file: attempts run in a directory of their own. What has a scheme or is absolute
  /// stays as it is.
  static func absoluteURI(_ uri: String, in directory: String) -> String {
    let scheme = uri.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "+.-".contains($0)) }
    let hasScheme = scheme.first?.isLetter == true && uri.dropFirst(scheme.count).first == ":"
    if uri.isEmpty || uri.hasPrefix("/") || hasScheme { return uri }
    return Self.uri(of: absolutePath(uri, in: directory))
  }

  /// - Throws: `ProgramError` (wrong usage) that names the file.
  static func checkReadable(_ file: String) throws {
    guard access(file, R_OK) == 0 else { throw ProgramError.usage("\(file): \(Standard.systemError())") }
  }

  private static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  static func currentDirectory() -> String {
    guard let name = getcwd(nil, 0) else { return "/" }
    defer { free(name) }
    return String(cString: name)
  }

  /// Absolute and without `.` and `..`; links are not resolved.
  static func absolutePath(_ path: String, in directory: String) -> String {
    var parts: [Substring] = []
    for part in (path.hasPrefix("/") ? path : directory + "/" + path).split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  private static func size(of file: String) throws -> Int64 {
    // Non-blocking: opening a pipe must not wait for its writer.
    let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw ProgramError.usage("\(file): \(Standard.systemError()); nothing was submitted")
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw ProgramError.usage("\(file): \(Standard.systemError()); nothing was submitted")
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return Int64(status.st_size)
    case S_IFDIR:
      throw ProgramError.usage("\(file) is a directory; give its files, such as \(file)/*; nothing was submitted")
    default: throw ProgramError.usage("\(file) is no regular file; nothing was submitted")
    }
  }

  /// By extension; the seeds' `document` for what is none of the common ones.
  static func mediaType(of file: String) -> String {
    let name = name(of: file)
    guard let dot = name.lastIndex(of: "."), dot > name.startIndex else { return "document" }
    switch name[name.index(after: dot)...].lowercased() {
    case "txt", "text", "log", "md", "rst", "csv", "tsv": return "text"
    case "png", "jpg", "jpeg", "gif", "webp", "tif", "tiff", "bmp", "svg", "heic": return "image"
    case "mp3", "wav", "flac", "ogg", "m4a", "aac", "opus": return "audio"
    case "mp4", "mov", "mkv", "webm", "avi", "m4v": return "video"
    default: return "document"
    }
  }
}
