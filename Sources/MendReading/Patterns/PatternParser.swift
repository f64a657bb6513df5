/// Parses the text of a pattern.
struct PatternParser {
  /// A repetition and a nesting beyond these bounds are refused.
  static let repetitionLimit = 64
  static let depthLimit = 32
  static let captureLimit = 2

  private let bytes: [UInt8]
  private var index = 0
  private var depth = 0
  private var ignoresCase = false
  /// The name of each capture; nil for one that has only its number.
  private(set) var captureNames: [String?] = []

  init(_ text: String) { bytes = Array(text.utf8) }

  mutating func parse() throws(PatternError) -> PatternNode {
    ignoresCase = take("(?i)")
    let node = try choice()
    guard index == bytes.count else { throw PatternError("')' closes nothing", at: index) }
    return node
  }

  private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

  private mutating func take(_ text: StaticString) -> Bool {
    let wanted = Array("\(text)".utf8)
    guard bytes[index...].starts(with: wanted) else { return false }
    index += wanted.count
    return true
  }

  private mutating func choice() throws(PatternError) -> PatternNode {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(PatternError) -> PatternNode {
    var nodes: [PatternNode] = []
    while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
      nodes.append(try repeated(try atom()))
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private mutating func repeated(_ node: PatternNode) throws(PatternError) -> PatternNode {
    let start = index
    var bounds: (least: Int, most: Int?)
    if take("?") {
      bounds = (0, 1)
    } else if take("*") {
      bounds = (0, nil)
    } else if take("+") {
      bounds = (1, nil)
    } else if take("{") {
      bounds = try counts()
    } else {
      return node
    }
    if case .place = node { throw PatternError("there is nothing to repeat", at: start) }
    if let byte = next, "?*+{".utf8.contains(byte) {
      throw PatternError("a repetition is repeated; possessive and reluctant ones are not known", at: index)
    }
    return .repeated(node, least: bounds.least, most: bounds.most)
  }

  /// What stands between braces: `m`, `m,` or `m,n`.
  private mutating func counts() throws(PatternError) -> (least: Int, most: Int?) {
    let start = index - 1
    let least = number()
    var most = least
    if take(",") { most = next == UInt8(ascii: "}") ? nil : number() ?? -1 }
    guard let least, most.map({ $0 >= least }) ?? true, take("}") else {
      throw PatternError("a repetition is {m}, {m,} or {m,n}; write \\{ for a brace", at: start)
    }
    guard max(least, most ?? 0) <= Self.repetitionLimit else {
      throw PatternError("a repetition is at most \(Self.repetitionLimit)", at: start)
    }
    return (least, most)
  }

  private mutating func number() -> Int? {
    let start = index
    while let byte = next, ByteSet.digits.contains(byte), index - start < 4 { index += 1 }
    return Int(String(decoding: bytes[start..<index], as: UTF8.self))
  }

  private mutating func atom() throws(PatternError) -> PatternNode {
    let start = index
    let byte = bytes[index]
    index += 1
    switch byte {
    case UInt8(ascii: "("): return try group()
    case UInt8(ascii: "["): return .bytes(try byteClass())
    case UInt8(ascii: "."): return .bytes(.any)
    case UInt8(ascii: "^"): return .place(.lineStart)
    case UInt8(ascii: "$"): return .place(.lineEnd)
    case UInt8(ascii: "?"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "{"):
      throw PatternError("there is nothing to repeat", at: start)
    case UInt8(ascii: "\\"):
      if take("b") { return .place(.wordBoundary) }
      return .bytes(folded(try escaped()))
    case 0x80...:
      // One character of several bytes, so that a repetition is of all of it.
      while let byte = next, byte & 0xC0 == 0x80 { index += 1 }
      return .sequence(bytes[start..<index].map { .bytes(ByteSet($0...$0)) })
    default: return .bytes(folded(ByteSet(byte...byte)))
    }
  }

  private func folded(_ set: ByteSet) -> ByteSet { ignoresCase ? set.ignoringCase : set }

  private mutating func group() throws(PatternError) -> PatternNode {
    let start = index - 1
    depth += 1
    guard depth <= Self.depthLimit else { throw PatternError("groups are nested too deep", at: start) }
    var capture: Int?
    if !take("?:") {
      var name: String?
      if take("?<") {
        name = try captureName()
      } else if next == UInt8(ascii: "?") {
        throw PatternError("of groups, (…), (?:…) and (?<name>…) are known", at: start)
      }
      guard captureNames.count < Self.captureLimit else {
        throw PatternError("at most \(Self.captureLimit) captures; write (?:…) for others", at: start)
      }
      capture = captureNames.count
      captureNames.append(name)
    }
    let node = try choice()
    guard take(")") else { throw PatternError("'(' is not closed", at: start) }
    depth -= 1
    return capture.map { .captured(node, $0) } ?? node
  }

  private mutating func captureName() throws(PatternError) -> String {
    let start = index
    while let byte = next, byte.isWordByte { index += 1 }
    let name = String(decoding: bytes[start..<index], as: UTF8.self)
    guard !name.isEmpty, !captureNames.contains(name), take(">") else {
      throw PatternError("a capture's name has letters, digits and _, and is used once", at: start)
    }
    return name
  }

  /// What follows a backslash.
  private mutating func escaped() throws(PatternError) -> ByteSet {
    guard let byte = next else { throw PatternError("a backslash ends the pattern", at: index - 1) }
    index += 1
    switch byte {
    case UInt8(ascii: "d"): return .digits
    case UInt8(ascii: "D"): return ByteSet.digits.inverted
    case UInt8(ascii: "w"): return .wordBytes
    case UInt8(ascii: "W"): return ByteSet.wordBytes.inverted
    case UInt8(ascii: "s"): return .blanks
    case UInt8(ascii: "S"): return ByteSet.blanks.inverted
    case UInt8(ascii: "t"): return ByteSet(9...9)
    case let byte where byte.isWordByte || byte >= 0x80:
      throw PatternError("this escape is not known", at: index - 2)
    default: return ByteSet(byte...byte)
    }
  }

  private mutating func byteClass() throws(PatternError) -> ByteSet {
    let start = index - 1
    let isInverted = take("^")
    var set = ByteSet()
    var isFirst = true
    while let byte = next, byte != UInt8(ascii: "]") || isFirst {
      isFirst = false
      guard let low = try classMember(&set) else { continue }
      guard next == UInt8(ascii: "-"), index + 1 < bytes.count, bytes[index + 1] != UInt8(ascii: "]") else {
        set.insert(low)
        continue
      }
      index += 1
      guard let high = try classMember(&set), low <= high else {
        throw PatternError("a range in a class goes from a byte to a later one", at: start)
      }
      set = set.union(ByteSet(low...high))
    }
    guard take("]") else { throw PatternError("'[' is not closed", at: start) }
    set = folded(set)
    return isInverted ? set.inverted : set
  }

  /// One byte of a class; nil where it was a set such as `\d`, which is added to `set`.
  private mutating func classMember(_ set: inout ByteSet) throws(PatternError) -> UInt8? {
    let byte = bytes[index]
    guard byte < 0x80 else { throw PatternError("a class has ASCII characters only", at: index) }
    index += 1
    guard byte == UInt8(ascii: "\\") else { return byte }
    let isSet = next.map { "dDwWsS".utf8.contains($0) } ?? false
    let escape = next
    let escaped = try escaped()
    if isSet {
      set = set.union(escaped)
      return nil
    }
    return escape == UInt8(ascii: "t") ? 9 : escape
  }
}
