/// Finds the exception that a line is about.
enum ExceptionName {
  /// The first word that has the form of an exception's name, of those that begin or end a part of the line; parts are
  /// what `: ` divides.
  static func find(in text: String, known: Set<String>) -> Substring? {
    var rest = Substring(text)
    while !rest.isEmpty {
      let end = rest.firstRange(of: ": ")
      let part = rest[..<(end?.lowerBound ?? rest.endIndex)]
      let words = part.split { $0 == " " || $0 == "\t" }
      for word in [words.first, words.last].compactMap(\.self) {
        if let name = name(of: word, known: known) { return name }
      }
      // `assert got: MemoryError` compares with it.
      guard let end, words.last.map({ comparing.contains(String($0)) }) != true else { return nil }
      rest = rest[end.upperBound...]
    }
    return nil
  }

  static func withoutModules(_ name: Substring) -> Substring {
    name.lastIndex { $0 == "." || $0 == ":" }.map { name[name.index(after: $0)...] } ?? name
  }

  static func hasKnownHome(_ name: Substring) -> Bool { homes.contains(String(name.prefix { $0 != "." && $0 != ":" })) }

  /// Where well-known exceptions live, by their first module.
  private static let homes: Set<String> = [
    "builtins", "exceptions", "importlib", "json", "simplejson", "zipfile", "gzip", "zlib", "csv", "_csv", "xml",
    "lxml", "socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "httpcore", "aiohttp", "asyncio",
    "concurrent", "multiprocessing", "pickle", "encodings", "numpy", "pandas", "pyarrow", "PIL", "torch", "ray",
    "botocore", "grpc", "subprocess", "tarfile", "lzma", "_pickle", "yaml", "openpyxl", "docx", "pypdf", "PyPDF2",
    "pdfminer",
    "pikepdf", "psycopg", "psycopg2", "redis", "openai", "anthropic", "google", "azure", "boto3", "sqlite3",
    "sqlalchemy",
    "java", "javax", "jdk", "sun", "kotlin", "scala", "org", "com", "System", "JSON", "Net", "Zlib", "Psych", "Timeout",
    "Errno", "OpenSSL", "Microsoft",
  ]

  /// The exception that a word names, without the signs around it; nil where it names none.
  private static func name(of word: Substring, known: Set<String>) -> Substring? {
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
    if known.contains(String(word)) || known.contains(String(short)) { return word }
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
}
