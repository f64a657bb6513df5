/// A file name from the command line: its bytes, and a text for people.
struct FileArgument: Sendable, Hashable {
  var bytes: [UInt8]
  /// Bytes that are not UTF-8 are U+FFFD here.
  var text: String

  init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
  }

  init(bytes: [UInt8], text: String) {
    self.bytes = bytes
    self.text = text
  }

  /// The names that the parser found, each with the bytes that it had on the command line.
  ///
  /// The parser has only texts, in which bytes that are not UTF-8 have become U+FFFD. The names are looked up in the
  /// order in which they were given.
  static func all(of texts: [String], in arguments: [[UInt8]] = commandLine()) -> [FileArgument] {
    var rest = arguments[...]
    return texts.map { text in
      guard text.unicodeScalars.contains("\u{FFFD}"),
        let place = rest.firstIndex(where: { String(decoding: $0, as: UTF8.self) == text })
      else { return FileArgument(text) }
      defer { rest = rest[(place + 1)...] }
      return FileArgument(bytes: rest[place], text: text)
    }
  }

  private static func commandLine() -> [[UInt8]] {
    (1..<max(1, Int(CommandLine.argc))).map { place in
      var bytes: [UInt8] = []
      guard var next = CommandLine.unsafeArgv[place] else { return bytes }
      while next.pointee != 0 {
        bytes.append(UInt8(bitPattern: next.pointee))
        next += 1
      }
      return bytes
    }
  }
}
