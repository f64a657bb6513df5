internal import CNghttp2
internal import Glibc

/// The rules of RFC 9113 8.2 and 8.3 for a request's header list and trailers, checked field by field.
///
/// Looser than the library in one rule: `:authority` may be missing, empty, or a socket's path, as gRPC clients send
/// it. It has no meaning here, and no gRPC server requires it.
struct RequestRules {
  /// Whether the list breaks a rule.
  private(set) var isMalformed = false
  /// The `content-length`; negative if there is none.
  private(set) var contentLength = -1

  private var seen = Seen()
  private var sawRegularField = false
  private var isConnect = false
  private var isOptions = false
  private var isWebScheme = false
  private var pathBegin: UInt8 = 0
  private var pathCount = 0
  private var hasAuthority = false
  /// The `host` field, which must be the same as `:authority`.
  private(set) var hasHost = false

  private struct Seen: OptionSet {
    let rawValue: UInt8
    static let (method, scheme, path, authority) = (
      Self(rawValue: 1), Self(rawValue: 2), Self(rawValue: 4), Self(rawValue: 8)
    )
    static let request: Self = [.method, .scheme, .path]
  }

  mutating func begin() {
    isMalformed = false
    contentLength = -1
    seen = []
    sawRegularField = false
    isConnect = false
    isOptions = false
    isWebScheme = false
    pathBegin = 0
    pathCount = 0
    hasAuthority = false
    hasHost = false
  }

  /// Whether the complete list is a request's (RFC 9113 8.3.1).
  var isRequest: Bool {
    guard !isMalformed else { return false }
    guard !isConnect else { return seen == [.method, .authority] && hasAuthority }
    guard seen.isSuperset(of: .request) else { return false }
    return !isWebScheme || pathBegin == UInt8(ascii: "/")
      || isOptions && pathCount == 1 && pathBegin == UInt8(ascii: "*")
  }

  /// Checks the next field; false if it breaks a rule.
  @unsafe @inline(__always)
  mutating func take(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int,
    inTrailers: Bool
  ) -> Bool {
    if nameCount > 0, unsafe name[0] == UInt8(ascii: ":") {
      guard !inTrailers, !sawRegularField, unsafe takePseudoField(name, nameCount, value, valueCount) else {
        isMalformed = true
        return false
      }
      return true
    }
    sawRegularField = true
    guard unsafe nghttp2_check_header_name(name, nameCount) != 0 else {
      isMalformed = true
      return false
    }
    guard unsafe Self.isPrintable(value, valueCount) || nghttp2_check_header_value(value, valueCount) != 0 else {
      isMalformed = true
      return false
    }
    if unsafe !Self.isOrdinary(name, nameCount), unsafe !takeSpecialField(name, nameCount, value, valueCount) {
      isMalformed = true
      return false
    }
    return true
  }

  @unsafe
  private mutating func takePseudoField(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
  ) -> Bool {
    let field: Seen
    switch nameCount {
    case 5 where unsafe Self.isSame(name, ":path"):
      field = .path
      guard valueCount > 0, unsafe nghttp2_check_path(value, valueCount) != 0 else { return false }
      pathBegin = unsafe value[0]
      pathCount = valueCount
    case 7 where unsafe Self.isSame(name, ":method"):
      field = .method
      guard valueCount > 0, unsafe nghttp2_check_method(value, valueCount) != 0 else { return false }
      isConnect = unsafe valueCount == 7 && Self.isSame(value, "CONNECT")
      isOptions = unsafe valueCount == 7 && Self.isSame(value, "OPTIONS")
    case 7 where unsafe Self.isSame(name, ":scheme"):
      field = .scheme
      guard unsafe Self.isScheme(value, valueCount) else { return false }
      isWebScheme =
        unsafe valueCount == 4 && Self.isSameWord(value, "http") || valueCount == 5 && Self.isSameWord(value, "https")
    case 10 where unsafe Self.isSame(name, ":authority"):
      field = .authority
      guard unsafe nghttp2_check_header_value(value, valueCount) != 0 else { return false }
      hasAuthority = valueCount > 0
    default:
      return false
    }
    guard !seen.contains(field) else { return false }
    seen.insert(field)
    return true
  }

  /// Whether no rule is about a name of this length.
  @unsafe @inline(__always)
  private static func isOrdinary(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    switch count {
    case 2, 4, 7, 10, 14, 16, 17: false
    default: true
    }
  }

  /// False for a field that no request may have (RFC 9113 8.2.2), or not like this.
  @unsafe
  private mutating func takeSpecialField(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
  ) -> Bool {
    switch nameCount {
    case 2 where unsafe Self.isSame(name, "te"):
      return unsafe valueCount == 8 && Self.isSameWord(value, "trailers")
    case 4 where unsafe Self.isSame(name, "host"):
      guard !hasHost else { return false }
      hasHost = true
      return true
    case 14 where unsafe Self.isSame(name, "content-length"):
      guard contentLength < 0 else { return false }
      let digits = unsafe UnsafeBufferPointer(start: value, count: valueCount)
      guard !digits.isEmpty, unsafe digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
        let length = unsafe Int(String(decoding: digits, as: UTF8.self))
      else { return false }
      contentLength = length
      return true
    case 7: return unsafe !Self.isSame(name, "upgrade")
    case 10: return unsafe !Self.isSame(name, "connection") && !Self.isSame(name, "keep-alive")
    case 16: return unsafe !Self.isSame(name, "proxy-connection")
    case 17: return unsafe !Self.isSame(name, "transfer-encoding")
    default: return true
    }
  }

  /// Whether the bytes are those of `text`; the caller checks the count.
  @unsafe @inline(__always)
  private static func isSame(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    unsafe memcmp(bytes, text.utf8Start, text.utf8CodeUnitCount) == 0
  }

  /// The same without regard to case. `text` is in lower case.
  @unsafe
  private static func isSameWord(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    unsafe isSame(bytes, text)
      || (0..<text.utf8CodeUnitCount).allSatisfy { unsafe lower(bytes[$0]) == text.utf8Start[$0] }
  }

  private static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

  /// Whether `host` and `:authority` are the same, without regard to case, if the list has both.
  static func hostAgrees(_ block: HeaderBlock) -> Bool {
    guard let host = block.first("host"), let authority = block.first(":authority"), !authority.value.isEmpty else {
      return true
    }
    return block.bytes[host.value].lazy.map(lower).elementsEqual(block.bytes[authority.value].lazy.map(lower))
  }

  /// RFC 3986 3.1.
  @unsafe
  private static func isScheme(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a }
    func isOther(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 || byte == 0x2b || byte == 0x2d || byte == 0x2e }
    let scheme = unsafe UnsafeBufferPointer(start: value, count: count)
    guard let first = unsafe scheme.first, isLetter(first) else { return false }
    return unsafe scheme.allSatisfy { isLetter($0) || isOther($0) }
  }

  /// A quick check, eight bytes at a time: true if all bytes are printable ASCII. False means nothing.
  @unsafe @inline(__always)
  private static func isPrintable(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let raw = unsafe UnsafeRawPointer(value)
    var index = 0
    while index &+ 8 <= count {
      let word = unsafe raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      // The highest bit of each byte says that it is above 0x7e, and that it is 0x20 or more.
      let high = word | (word &+ 0x0101_0101_0101_0101)
      let notLow = (word | 0x8080_8080_8080_8080) &- 0x2020_2020_2020_2020
      guard (high | ~notLow) & 0x8080_8080_8080_8080 == 0 else { return false }
      index &+= 8
    }
    while index < count {
      let byte = unsafe value[index]
      guard byte >= 0x20, byte < 0x7f else { return false }
      index &+= 1
    }
    return true
  }
}
