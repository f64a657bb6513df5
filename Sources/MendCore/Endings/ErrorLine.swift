/// A line that a program wrote when it failed, as the table of error signatures reads it: what the line says itself, and
/// not what it only quotes.
///
/// What stands in quotes, a path, and a name that the reader knows (of a document, of a file) are somebody else's words:
/// a file may be called "Too many open files".
struct ErrorLine {
  private let bytes: [UInt8]
  private let foreign: [Range<Int>]
  /// Which two bytes stand side by side in it: most of the table is told by that alone.
  private let pairs: Set<UInt16>
  /// The exception that the line is about, with its modules, as `java.lang.OutOfMemoryError`; nil where it names none.
  let exception: Substring?

  /// Bytes of a line that are read.
  static let limit = 8192

  /// - Parameter names: what documents and files are called; in a line they say nothing.
  init(_ text: String, names: [String] = []) {
    let bytes = Array(text.utf8.prefix(Self.limit))
    self.bytes = bytes
    pairs = Set(zip(bytes, bytes.dropFirst()).map(Self.pair))
    var foreign = Self.isRecord(bytes) ? [] : Self.quotes(in: bytes)
    foreign += Self.paths(in: bytes)
    for name in names where name.utf8.count >= Self.shortestName {
      let name = Array(name.utf8)
      foreign += Self.places(of: name, in: bytes).map { $0..<($0 + name.count) }
    }
    self.foreign = foreign
    exception = Self.exception(in: text)
  }

  /// A shorter name would hide ordinary words.
  private static let shortestName = 3

  /// True where the words stand in it as whole words of its own.
  func says(_ words: String) -> Bool {
    let wanted = Array(words.utf8)
    guard wanted.count > 1, let first = wanted.first, let last = wanted.last,
      pairs.contains(Self.pair(first, wanted[1]))
    else { return false }
    return Self.places(of: wanted, in: bytes).contains { start in
      let end = start + wanted.count
      if Self.isLetter(first), start > 0, Self.isOfWord(bytes[start - 1]) { return false }
      if Self.isLetter(last), end < bytes.count, Self.isOfWord(bytes[end]) { return false }
      if Self.isErrorNumber(wanted), !isTold(start..<end) { return false }
      return !foreign.contains { $0.lowerBound <= start && end <= $0.upperBound }
    }
  }

  /// True where its exception is called so: with these modules, without any, or with those of a runtime or a library that
  /// has it. A program's own `billing.MemoryError` is another one.
  func isException(_ name: String) -> Bool {
    guard let exception else { return false }
    if exception == name { return true }
    let short = Self.withoutModules(exception)
    guard short == name else { return false }
    let module = exception.prefix { $0 != "." && $0 != ":" }
    return Self.homes.contains(String(module))
  }

  /// Where exceptions of the table live, by their first module.
  private static let homes: Set<String> = [
    "builtins", "exceptions", "importlib", "json", "simplejson", "zipfile", "gzip", "zlib", "csv", "_csv", "xml",
    "lxml",
    "socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "httpcore", "aiohttp", "asyncio", "concurrent",
    "multiprocessing", "pickle", "encodings", "numpy", "pandas", "pyarrow", "PIL", "torch", "ray", "botocore", "grpc",
    "java", "javax", "jdk", "sun", "kotlin", "scala", "System", "JSON", "Net", "Zlib", "Psych", "Timeout", "Errno",
  ]

  /// `ENOMEM`: the name of an error number, which is also a word that one may write about.
  private static func isErrorNumber(_ words: [UInt8]) -> Bool {
    words.first == UInt8(ascii: "E") && words.count > 3
      && words.allSatisfy { $0 == UInt8(ascii: "_") || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
  }

  /// True where the name of an error number stands as one: at the end, before a sign that ends it, or behind the call that
  /// it is of.
  private func isTold(_ name: Range<Int>) -> Bool {
    var end = name.upperBound
    if end < bytes.count, bytes[end] == UInt8(ascii: " ") {
      end += 1
      if end < bytes.count, bytes[end] != UInt8(ascii: "("), bytes[end] != UInt8(ascii: "[") {
        return followsCall(name)
      }
      return true
    }
    return end == bytes.count || ":,;.)]\"'".utf8.contains(bytes[end])
  }

  /// Node writes `connect ECONNREFUSED 127.0.0.1:80`.
  private func followsCall(_ name: Range<Int>) -> Bool {
    let before = bytes[..<name.lowerBound].split(separator: UInt8(ascii: " ")).last ?? []
    return Self.calls.contains { before.elementsEqual($0.utf8) }
  }

  private static let calls = [
    "connect", "getaddrinfo", "queryA", "read", "write", "open", "spawn", "accept", "listen", "bind", "stat", "mkdir",
    "rename", "unlink", "fork", "mmap",
  ]

  private static func pair(_ one: UInt8, _ other: UInt8) -> UInt16 { UInt16(one) << 8 | UInt16(other) }

  private static func places(of wanted: [UInt8], in bytes: [UInt8]) -> [Int] {
    guard let first = wanted.first, wanted.count <= bytes.count else { return [] }
    return (0...(bytes.count - wanted.count)).filter { start in
      bytes[start] == first && bytes[start..<(start + wanted.count)].elementsEqual(wanted)
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
      true
    default: false
    }
  }

  private static func isOfWord(_ byte: UInt8) -> Bool { isLetter(byte) || byte == UInt8(ascii: "_") }
}

// MARK: what is not its own

extension ErrorLine {
  /// A JSON object or logfmt: the quotes are its form there, and what they hold is what it says.
  private static func isRecord(_ bytes: [UInt8]) -> Bool {
    if bytes.first == UInt8(ascii: "{") { return true }
    return ["msg=\"", "message=\"", "err=\"", "error=\""].contains { !places(of: Array($0.utf8), in: bytes).isEmpty }
  }

  private static let curlyQuotes: [([UInt8], [UInt8])] = [("“", "”"), ("‘", "’"), ("«", "»")].map {
    (Array($0.0.utf8), Array($0.1.utf8))
  }

  /// 'so', "so", `so', `so`, “so”: from a quote before a word to one behind a word.
  private static func quotes(in bytes: [UInt8]) -> [Range<Int>] {
    var quotes: [Range<Int>] = []
    var place = 0
    while place < bytes.count {
      guard opens(bytes, place), let end = closing(of: place, in: bytes) else {
        place += 1
        continue
      }
      quotes.append(place..<end)
      place = end
    }
    for (opening, closing) in curlyQuotes {
      for start in places(of: opening, in: bytes) {
        if let end = places(of: closing, in: bytes).first(where: { $0 > start }) {
          quotes.append(start..<(end + closing.count))
        }
      }
    }
    return quotes
  }

  private static func opens(_ bytes: [UInt8], _ place: Int) -> Bool {
    let isQuote = [UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`")].contains(bytes[place])
    // The apostrophe of "can't" stands behind a letter.
    return isQuote && (place == 0 || !isOfWord(bytes[place - 1]))
  }

  private static func closing(of place: Int, in bytes: [UInt8]) -> Int? {
    let closers = bytes[place] == UInt8(ascii: "`") ? [UInt8(ascii: "`"), UInt8(ascii: "'")] : [bytes[place]]
    var end = place + 1
    while end < bytes.count {
      if closers.contains(bytes[end]), end + 1 == bytes.count || !isOfWord(bytes[end + 1]) { return end + 1 }
      end += 1
    }
    return nil
  }

  /// Words with a slash in them, but those that the table knows.
  private static func paths(in bytes: [UInt8]) -> [Range<Int>] {
    var paths: [Range<Int>] = []
    for word in bytes.indices.split(whereSeparator: {
      bytes[$0] == UInt8(ascii: " ") || bytes[$0] == UInt8(ascii: "\t")
    }) {
      guard let start = word.first, let end = word.last, bytes[start...end].contains(UInt8(ascii: "/")) else {
        continue
      }
      if !knownWords.contains(where: { bytes[start...end].starts(with: $0) }) { paths.append(start..<(end + 1)) }
    }
    return paths
  }

  private static let knownWords = ["Input/output", "I/O"].map { Array($0.utf8) }
}

// MARK: its exception

extension ErrorLine {
  /// The first word that has the form of an exception's name, of those that begin or end a part of the line; parts are
  /// what `: ` divides.
  private static func exception(in text: String) -> Substring? {
    var rest = Substring(text)
    while !rest.isEmpty {
      let end = rest.firstRange(of: ": ")
      let part = rest[..<(end?.lowerBound ?? rest.endIndex)]
      let words = part.split { $0 == " " || $0 == "\t" }
      for word in [words.first, words.last].compactMap(\.self) {
        if let name = name(of: word) { return name }
      }
      // `assert got: MemoryError` compares with it.
      guard let end, words.last.map({ comparing.contains(String($0)) }) != true else { return nil }
      rest = rest[end.upperBound...]
    }
    return nil
  }

  /// The exception that a word names, without the signs around it; nil where it names none.
  private static func name(of word: Substring) -> Substring? {
    var word = word
    // RayTaskError(ValueError): the one inside is the cause.
    if word.last == ")" || word.last == ":", let open = word.lastIndex(of: "("), open != word.startIndex {
      word = word[word.index(after: open)...]
    }
    while let first = word.first, !first.isLetter && first != "_" { word.removeFirst() }
    while let last = word.last, !last.isLetter && !last.isNumber { word.removeLast() }
    // ERROR:root:MemoryError
    if let colon = word.lastIndex(of: ":"), colon > word.startIndex, word[word.index(before: colon)] != ":" {
      word = word[word.index(after: colon)...]
    }
    let short = withoutModules(word)
    if ErrorSignature.exceptionNames.contains(String(word)) || ErrorSignature.exceptionNames.contains(String(short)) {
      return word
    }
    guard let first = short.first, first.isUppercase || first == "_", !generic.contains(String(short)),
      short.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
    else { return nil }
    return endings.contains { short.hasSuffix($0) } ? word : nil
  }

  private static let comparing: Set<String> = [
    "got", "expected", "actual", "want", "wanted", "instead", "received", "not",
  ]

  private static let endings = ["Error", "Exception", "Fault", "Interrupt", "Exit"]
  private static let generic: Set<String> = ["Error", "Exception", "Fault", "Exit", "Interrupt"]

  static func withoutModules(_ name: Substring) -> Substring {
    name.lastIndex { $0 == "." || $0 == ":" }.map { name[name.index(after: $0)...] } ?? name
  }
}
