/// Replaces what varies from one failure to the next, so that failures of one kind have one text.
package struct Mask: Sendable {
  /// Grows with each change of what is replaced: a new version makes new group ids.
  package static let version = 1
  /// Bytes of a masked line that are kept.
  static let limit = 200

  private let names: [[UInt8]]

  /// - Parameter names: the uri, path, name and id of the document.
  package init(names: [String] = []) {
    // The longest first: a path has the name in it.
    self.names = names.map { Array($0.utf8) }.filter { $0.count > 2 }.sorted { $0.count > $1.count }
  }

  /// The line with placeholders: `<document>`, `<text>` (in quotes), `<url>`, `<path>`, `<uuid>`, `<time>`, `<hex>`,
  /// `<n>`.
  package func masked(_ line: String) -> String {
    let bytes = Array(line.utf8)
    var masked: [UInt8] = []
    var place = 0
    while place < bytes.count, masked.count < Self.limit {
      if let (end, placeholder) = token(in: bytes, at: place) {
        masked += Array("<\(placeholder)>".utf8)
        place = end
      } else {
        // A word is taken whole, so that no token begins within it.
        let isWord = bytes[place].isWordByte
        repeat {
          masked.append(bytes[place])
          place += 1
        } while isWord && place < bytes.count && bytes[place].isWordByte
      }
    }
    return String(decoding: masked, as: UTF8.self).cut(Self.limit)
  }

  /// The token that begins here: where it ends, and its placeholder.
  private func token(in bytes: [UInt8], at place: Int) -> (end: Int, placeholder: String)? {
    let rest = bytes[place...]
    if let name = names.first(where: rest.starts(with:)) { return (place + name.count, "document") }
    if let end = ForeignWords.endOfQuote(in: bytes, at: place) { return (end, "text") }
    if let end = Token.url(rest) { return (end, "url") }
    if let end = Token.path(rest) { return (end, "path") }
    if let end = Token.uuid(rest) { return (end, "uuid") }
    if let end = Token.time(rest) { return (end, "time") }
    if let end = Token.hex(rest) { return (end, "hex") }
    if let end = Token.number(rest) { return (end, "n") }
    return nil
  }
}

/// Tokens at the beginning of a text: the place where each ends, or nil.
private enum Token {
  static func url(_ text: ArraySlice<UInt8>) -> Int? {
    let scheme = text.prefix { ByteSet.letters.contains($0) || $0 == UInt8(ascii: "+") }
    guard !scheme.isEmpty, text[scheme.endIndex...].starts(with: "://".utf8) else { return nil }
    return end(of: text)
  }

  static func path(_ text: ArraySlice<UInt8>) -> Int? {
    let beginning = text.drop { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "~") }
    guard beginning.startIndex - text.startIndex <= 2, beginning.first == UInt8(ascii: "/"),
      let second = beginning.dropFirst().first, second.isWordByte || second == UInt8(ascii: ".")
    else { return nil }
    return end(of: text)
  }

  /// Where a word of an address ends: at a blank, a quote or a sign that closes a sentence's part.
  private static func end(of text: ArraySlice<UInt8>) -> Int {
    var word = text.prefix { $0 > 0x20 && !"'\"`<>()[]{}|".utf8.contains($0) }
    while let last = word.last, ".,:;!?".utf8.contains(last) { word.removeLast() }
    return word.endIndex
  }

  static func uuid(_ text: ArraySlice<UInt8>) -> Int? { matching("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", text) }

  /// `2026-03-03T12:47:09.1Z`, `2026-03-03`, `12:47:09`
  static func time(_ text: ArraySlice<UInt8>) -> Int? {
    guard let date = matching("dddd-dd-dd", text) else { return clock(text) }
    guard let mark = text[date...].first, mark == UInt8(ascii: "T") || mark == UInt8(ascii: " ") else { return date }
    return clock(text[(date + 1)...]) ?? date
  }

  private static func clock(_ text: ArraySlice<UInt8>) -> Int? {
    guard let end = matching("dd:dd:dd", text) else { return nil }
    var rest = text[end...].drop { ByteSet.digits.contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ",") }
    if rest.first == UInt8(ascii: "Z") { rest.removeFirst() }
    return rest.startIndex
  }

  /// Six digits or more, with or without 0x; of those without, one at least must be a number's.
  static func hex(_ text: ArraySlice<UInt8>) -> Int? {
    let isMarked = text.starts(with: "0x".utf8)
    let digits = text.dropFirst(isMarked ? 2 : 0).prefix { isHex($0) }
    guard digits.count >= (isMarked ? 1 : 6), text[digits.endIndex...].first?.isWordByte != true,
      isMarked || digits.contains(where: ByteSet.digits.contains)
    else { return nil }
    return isMarked || digits.contains(where: ByteSet.letters.contains) ? digits.endIndex : nil
  }

  static func number(_ text: ArraySlice<UInt8>) -> Int? {
    let digits = text.prefix { ByteSet.digits.contains($0) }
    guard !digits.isEmpty else { return nil }
    let fraction = text[digits.endIndex...].dropFirst().prefix { ByteSet.digits.contains($0) }
    let hasPoint = text[digits.endIndex...].first == UInt8(ascii: ".") && !fraction.isEmpty
    return hasPoint ? fraction.endIndex : digits.endIndex
  }

  /// `x` is a hexadecimal digit, `d` a digit, anything else itself; what follows is no part of the same word.
  private static func matching(_ form: StaticString, _ text: ArraySlice<UInt8>) -> Int? {
    let form = Array("\(form)".utf8)
    guard text.count >= form.count else { return nil }
    for (mark, byte) in zip(form, text) {
      switch mark {
      case UInt8(ascii: "x"): if !isHex(byte) { return nil }
      case UInt8(ascii: "d"): if !ByteSet.digits.contains(byte) { return nil }
      default: if mark != byte { return nil }
      }
    }
    return text.startIndex + form.count
  }

  private static func isHex(_ byte: UInt8) -> Bool {
    ByteSet.digits.contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte.lowercased)
  }
}
