import MendCore
import MendProtobuf
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
    case .document(let batchID, let position): Base64.encode("d.\(batchID).\(position)".utf8, as: .url)
    case .batch(let cursor): Base64.encode("b.\(cursor.batchID).\(cursor.createdAt.milliseconds)".utf8, as: .url)
    }
  }

  /// Nil for any text that is not a page token.
  init?(_ text: String) {
    guard text.utf8.count <= Self.maximumLength, let bytes = Base64.decode(text),
      let plain = String(validating: bytes, as: UTF8.self)
    else { return nil }
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
