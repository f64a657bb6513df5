import Glibc
import MendAPI
import MendCore

/// Makes documents from the files of a command line.
enum FileDocuments {
  static let idMaximumLength = 64

  /// One document for each file, in the files' order.
  ///
  /// - Throws: `ProgramError` (wrong usage) that names the first file that is missing, unreadable or not a regular file.
  static func documents(of files: [FileArgument]) throws -> [MendAPI.Document] {
    let directory = currentDirectoryBytes()
    let ids = ids(of: files.map(\.text))
    var documents: [MendAPI.Document] = []
    documents.reserveCapacity(files.count)
    for (file, id) in zip(files, ids) {
      var document = MendAPI.Document()
      document.documentID = id
      document.uri = FileURI.uri(ofPath: absolutePath(file.bytes, in: directory))
      document.mediaType = mediaType(of: file.text)
      document.sizeBytes = try size(of: file)
      documents.append(document)
    }
    return documents
  }

  /// A unique id for each file, made from its name: 1 to 64 letters, digits and hyphens. The same list of files gives
  /// the same ids.
  static func ids(of files: [String]) -> [String] {
    let names = files.map { id(fromName: name(of: $0)) }
    // A unique name is kept; the others get numbers that collide with no name.
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

  /// `Q4 report.pdf` → `Q4-report-pdf`; `document` if nothing is left.
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

  /// Turns a relative path into the URI of its file, because attempts run in a directory of their own. A URI with a
  /// scheme and an absolute path stay unchanged.
  static func absoluteURI(_ uri: String, in directory: String) -> String {
    let scheme = uri.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "+.-".contains($0)) }
    let hasScheme = scheme.first?.isLetter == true && uri.dropFirst(scheme.count).first == ":"
    if uri.isEmpty || uri.hasPrefix("/") || hasScheme { return uri }
    return FileURI.uri(ofPath: absolutePath(uri, in: directory).utf8)
  }

  /// - Throws: `ProgramError` (wrong usage) that names the file.
  static func checkReadable(_ file: String) throws {
    guard access(file, R_OK) == 0 else { throw ProgramError.usage("\(file): \(Standard.systemError())") }
  }

  static func currentDirectory() -> String { String(decoding: currentDirectoryBytes(), as: UTF8.self) }

  private static func currentDirectoryBytes() -> [UInt8] {
    guard let name = getcwd(nil, 0) else { return [slash] }
    defer { free(name) }
    return (0..<strlen(name)).map { UInt8(bitPattern: name[$0]) }
  }

  private static let slash = UInt8(ascii: "/")

  static func absolutePath(_ path: String, in directory: String) -> String {
    String(decoding: absolutePath(Array(path.utf8), in: Array(directory.utf8)), as: UTF8.self)
  }

  /// The absolute path without `.` and `..`; links are not resolved.
  static func absolutePath(_ path: [UInt8], in directory: [UInt8]) -> [UInt8] {
    var parts: [ArraySlice<UInt8>] = []
    for part in (path.first == slash ? path : directory + [slash] + path).split(separator: slash) {
      if part.elementsEqual("..".utf8) {
        _ = parts.popLast()
      } else if !part.elementsEqual(".".utf8) {
        parts.append(part)
      }
    }
    return [slash] + parts.joined(separator: [slash])
  }

  private static func size(of argument: FileArgument) throws -> Int64 {
    let file = argument.text
    // Non-blocking: opening a pipe must not wait for its writer.
    let descriptor = open(argument.bytes.map { CChar(bitPattern: $0) } + [0], O_RDONLY | O_CLOEXEC | O_NONBLOCK)
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
      throw ProgramError.usage("\(file) is a directory; name its files, such as \(file)/*; nothing was submitted")
    default: throw ProgramError.usage("\(file) is not a regular file; nothing was submitted")
    }
  }

  /// The media type by extension; `document` for an uncommon extension.
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
