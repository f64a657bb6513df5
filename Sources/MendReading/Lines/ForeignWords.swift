/// Where a line quotes: texts in quotes, paths, and names that the reader knows.
enum ForeignWords {
  /// A shorter name would hide ordinary words.
  private static let shortestName = 3

  static func ranges(in bytes: [UInt8], names: [String]) -> [Range<Int>] {
    var ranges = isRecord(bytes) ? [] : quotes(in: bytes)
    ranges += paths(in: bytes)
    for name in names where name.utf8.count >= shortestName { ranges += places(of: Array(name.utf8), in: bytes) }
    return ranges
  }

  private static func places(of wanted: [UInt8], in bytes: [UInt8]) -> [Range<Int>] {
    guard let first = wanted.first, wanted.count <= bytes.count else { return [] }
    return (0...(bytes.count - wanted.count)).compactMap { start in
      bytes[start] == first && bytes[start...].starts(with: wanted) ? start..<(start + wanted.count) : nil
    }
  }

  /// A JSON object, logfmt or a value as Rust prints it: the quotes are its form there, and what they hold is what it
  /// says.
  private static func isRecord(_ bytes: [UInt8]) -> Bool {
    if bytes.first == UInt8(ascii: "{") { return true }
    return ["msg=\"", "message=\"", "err=\"", "error=\"", "message: \"", "details = \"", "panicked at '", "{'", "{\""]
      .contains {
        !places(of: Array($0.utf8), in: bytes).isEmpty
      }
  }

  private static let curlyQuotes = [("“", "”"), ("‘", "’"), ("«", "»")].map { (Array($0.0.utf8), Array($0.1.utf8)) }

  /// 'so', "so", `so', `so`, “so”: from a quote before a word to one behind a word.
  private static func quotes(in bytes: [UInt8]) -> [Range<Int>] {
    var quotes: [Range<Int>] = []
    var place = 0
    while place < bytes.count {
      guard let end = endOfQuote(in: bytes, at: place) else {
        place += 1
        continue
      }
      quotes.append(place..<end)
      place = end
    }
    for (opening, closing) in curlyQuotes {
      let ends = places(of: closing, in: bytes)
      for start in places(of: opening, in: bytes) {
        if let end = ends.first(where: { $0.lowerBound > start.lowerBound }) {
          quotes.append(start.lowerBound..<end.upperBound)
        }
      }
    }
    return quotes
  }

  /// Where the quote ends that begins here.
  static func endOfQuote(in bytes: [UInt8], at place: Int) -> Int? {
    opens(bytes, place) ? closing(of: place, in: bytes) : nil
  }

  private static func opens(_ bytes: [UInt8], _ place: Int) -> Bool {
    // The apostrophe of "can't" stands behind a letter.
    "'\"`".utf8.contains(bytes[place]) && (place == 0 || !isOfWord(bytes[place - 1]))
  }

  private static func closing(of place: Int, in bytes: [UInt8]) -> Int? {
    let closers = bytes[place] == UInt8(ascii: "`") ? [UInt8(ascii: "`"), UInt8(ascii: "'")] : [bytes[place]]
    let end = bytes[(place + 1)...].indices.first { end in
      closers.contains(bytes[end]) && (end + 1 == bytes.count || !isOfWord(bytes[end + 1]))
    }
    return end.map { $0 + 1 }
  }

  private static func isOfWord(_ byte: UInt8) -> Bool { byte.isWordByte || byte >= 0x80 }

  /// Words with a slash in them, but those that are an error's own.
  private static func paths(in bytes: [UInt8]) -> [Range<Int>] {
    bytes.indices.split { bytes[$0] == UInt8(ascii: " ") || bytes[$0] == UInt8(ascii: "\t") }.compactMap { word in
      let range = word.startIndex..<word.endIndex
      guard bytes[range].contains(UInt8(ascii: "/")), !errorWords.contains(where: { bytes[range].starts(with: $0) })
      else { return nil }
      return range
    }
  }

  private static let errorWords = ["Input/output", "I/O", "HTTP/"].map { Array($0.utf8) }
}
