import Glibc
import NIOCore

/// Addresses to which no notification is sent: link-local ones and those of cloud metadata services, in any notation.
enum ReceiverAddress {
  /// Whether the host of an address is forbidden. Numbers are parsed as the system does: in any base, with one to four
  /// parts.
  static func isForbidden(name: String) -> Bool {
    var name = name.lowercased()
    if name.hasPrefix("["), name.hasSuffix("]") { name = String(name.dropFirst().dropLast()) }
    while name.hasSuffix(".") { name.removeLast() }
    if names.contains(name) { return true }
    // A zone follows an IPv6 address: fe80::1%eth0, or %25eth0 in a URL.
    let plain =
      name.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? name
    if let four = four(plain) { return isForbidden(four: four) }
    return six(plain).map { isForbidden(six: $0) } ?? false
  }

  static func isForbidden(_ address: SocketAddress) -> Bool { address.ipAddress.map { isForbidden(name: $0) } ?? false }

  /// True for a number, which has no name that a certificate could be for.
  static func isNumeric(_ host: String) -> Bool { four(host) != nil || six(host) != nil }

  /// Parses an address like inet_aton: the last of one to four parts fills the rest, and each is decimal, octal or
  /// hexadecimal.
  private static func four(_ text: String) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...4).contains(parts.count) else { return nil }
    var address: UInt32 = 0
    for (index, part) in parts.enumerated() {
      let isHexadecimal = part.hasPrefix("0x") || part.hasPrefix("0X")
      let digits = isHexadecimal ? part.dropFirst(2) : part
      let radix = isHexadecimal ? 16 : part.count > 1 && part.hasPrefix("0") ? 8 : 10
      guard let first = digits.unicodeScalars.first, first.properties.isASCIIHexDigit,
        let number = UInt32(digits, radix: radix)
      else { return nil }
      let isLast = index == parts.count - 1
      let bits = isLast ? 32 - 8 * index : 8
      guard bits == 32 || number < 1 << UInt32(bits) else { return nil }
      address |= isLast ? number : number << UInt32(24 - 8 * index)
    }
    return address
  }

  private static func six(_ text: String) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 16)
    return bytes.withUnsafeMutableBytes { inet_pton(AF_INET6, text, $0.baseAddress) } == 1 ? bytes : nil
  }

  private static let names: Set<String> = [
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    "metadata.azure.internal", "metadata.tencentyun.com",
  ]

  /// 169.254.0.0/16, and 100.100.100.200 of Alibaba, 192.0.0.192 of Oracle.
  private static func isForbidden(four address: UInt32) -> Bool {
    address >> 16 == 0xA9FE || address == 0x6464_64C8 || address == 0xC000_00C0
  }

  /// fe80::/10, fd00:ec2::254 of Amazon, fd20:ce::254 of Google, and embedded IPv4 addresses.
  private static func isForbidden(six bytes: [UInt8]) -> Bool {
    guard bytes.count == 16 else { return false }
    if bytes[0] == 0xFE, bytes[1] & 0xC0 == 0x80 { return true }
    let zeros = { (range: Range<Int>) in bytes[range].allSatisfy { $0 == 0 } }
    if bytes.starts(with: [0xFD, 0x00, 0x0E, 0xC2]), zeros(4..<14), bytes[14] == 0x02, bytes[15] == 0x54 {
      return true
    }
    if bytes.starts(with: [0xFD, 0x20, 0x00, 0xCE]), zeros(4..<14), bytes[14] == 0x02, bytes[15] == 0x54 {
      return true
    }
    let isMapped = zeros(0..<10) && bytes[10] == 0xFF && bytes[11] == 0xFF
    let isTranslated = bytes.starts(with: [0x00, 0x64, 0xFF, 0x9B]) && zeros(4..<12)
    let isCompatible = zeros(0..<12)
    if isMapped || isTranslated || isCompatible { return isForbidden(four: word(bytes[12..<16])) }
    // 6to4.
    return bytes[0] == 0x20 && bytes[1] == 0x02 && isForbidden(four: word(bytes[2..<6]))
  }

  private static func word(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
}
