/// `file:` URIs (RFC 8089) and the paths that they name. A path is bytes: a file's name need not be UTF-8.
package enum FileURI {
  /// The path that a `file:` URI of this machine or a bare absolute path names.
  ///
  /// `file:/a`, `file:///a` and `file://localhost/a` are `/a`; the scheme and the host are read in any case. Nil for other
  /// schemes, for the files of another host, for a percent sign without two hexadecimal digits, and for a path with a NUL.
  package static func path(of uri: String) -> [UInt8]? {
    if uri.utf8.first == UInt8(ascii: "/") { return uri.utf8.contains(0) ? nil : Array(uri.utf8) }
    guard var rest = dropping("file:", from: uri.utf8[...]) else { return nil }
    if rest.starts(with: "//".utf8) {
      rest = rest.dropFirst(2)
      if rest.first != UInt8(ascii: "/") {
        guard let path = dropping("localhost", from: rest) else { return nil }
        rest = path
      }
    }
    guard rest.first == UInt8(ascii: "/") else { return nil }
    return decodingPercents(rest)
  }

  /// `file://` and the path, with everything but unreserved characters (RFC 3986, section 2.3) and slashes
  /// percent-encoded.
  package static func uri(ofPath path: some Sequence<UInt8>) -> String {
    var uri = Array("file://".utf8)
    for byte in path {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: "/"):
        uri.append(byte)
      default:
        uri += [UInt8(ascii: "%"), digit(byte >> 4), digit(byte & 0xf)]
      }
    }
    return String(decoding: uri, as: UTF8.self)
  }

  /// What follows a prefix of ASCII letters, which is compared in any case.
  private static func dropping(
    _ prefix: String, from text: Substring.UTF8View
  ) -> Substring.UTF8View? {
    var rest = text
    for expected in prefix.utf8 {
      guard let byte = rest.popFirst(), byte == expected || byte | 0x20 == expected else { return nil }
    }
    return rest
  }

  private static func decodingPercents(_ text: Substring.UTF8View) -> [UInt8]? {
    var path: [UInt8] = []
    path.reserveCapacity(text.count)
    var rest = text
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        path.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(value), let low = rest.popFirst().flatMap(value) else { return nil }
      path.append(high << 4 | low)
    }
    return path.contains(0) ? nil : path
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  private static func digit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
  }
}
