import MendCore
import MendRuntime

/// The start of the next page, as opaque text: base64url of a kind, what it belongs to, and a position.
///
/// Tokens are neither secret nor signed: a forged one gives access to nothing that the caller may not read.
enum PageToken: Hashable {
  /// The next document of a batch, by position.
  case document(batchID: String, position: Int)
  /// Batches that are older than this one.
  case batch(ListCursor)

  static let maximumLength = 256

  var text: String {
    switch self {
    case .document(let batchID, let position): Base64URL.encode("d.\(batchID).\(position)")
    case .batch(let cursor): Base64URL.encode("b.\(cursor.batchID).\(cursor.createdAt.milliseconds)")
    }
  }

  /// Nil for any text that is not a page token.
  init?(_ text: String) {
    guard text.utf8.count <= Self.maximumLength, let plain = Base64URL.decode(text) else { return nil }
    let parts = plain.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let number = Int64(parts[2]), Identifier.isValid(String(parts[1])) else { return nil }
    switch parts[0] {
    case "d" where number >= 0: self = .document(batchID: String(parts[1]), position: Int(number))
    case "b":
      self = .batch(ListCursor(createdAt: Instant(milliseconds: number), batchID: String(parts[1])))
    default: return nil
    }
  }
}

/// RFC 4648, section 5, without padding.
enum Base64URL {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  static func encode(_ text: String) -> String {
    var result: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for byte in text.utf8 {
      bits = bits << 8 | UInt32(byte)
      count += 8
      while count >= 6 {
        count -= 6
        result.append(alphabet[Int(bits >> UInt32(count) & 63)])
      }
    }
    if count > 0 { result.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
    return String(decoding: result, as: UTF8.self)
  }

  static func decode(_ text: String) -> String? {
    var result: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for character in text.utf8 {
      guard let value = alphabet.firstIndex(of: character) else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return String(validating: result, as: UTF8.self)
  }
}
