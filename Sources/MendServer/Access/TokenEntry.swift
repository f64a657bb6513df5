import Crypto
import MendCore

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// One line of a tokens file: a token's hash and what it opens. The token itself is not stored.
package struct TokenEntry: Sendable, Hashable {
  /// The namespace that it opens, or `*` for every one.
  package var namespace: String
  package var role: Role
  /// The owner, for people. Histories name it as the actor.
  package var name: String
  /// Seconds since the Unix epoch.
  package var createdAt: Int64
  /// SHA-256 of the token's text, 64 hex digits.
  package var hash: String

  /// The id of a token: the first digits of its hash, which open nothing.
  package var id: String { String(hash.prefix(12)) }

  package static let everyNamespace = "*"

  package init(namespace: String, role: Role, name: String, createdAt: Int64, hash: String) {
    self.namespace = namespace
    self.role = role
    self.name = name
    self.createdAt = createdAt
    self.hash = hash
  }

  /// Why a token may not have this name; nil if it may. Histories use the reserved names for what Mend does by itself, so
  /// a person must not have one. A worker's token appears in no history.
  package static func whyNameIsTaken(_ name: String, role: Role) -> String? {
    guard role != .worker else { return nil }
    let words = name.lowercased().split(separator: " ")
    // A worker is named with its attempt: `worker t0-j0.1`.
    let isOwn = words.count == 1 && ownNames.contains(String(words[0])) || words.first == "worker"
    return isOwn ? "\"\(name)\" is what histories call something that Mend does by itself; choose another" : nil
  }

  /// The actors of `Record.who`, and of a batch's own rules.
  private static let ownNames: Set<String> = {
    let causes = Record.Cause.allCases.filter { $0 != .caller }.map(\.rawValue)
    return Set(causes + ["timer", "server", "rules", Initiative.autoHeal.rawValue])
  }()

  package func opens(_ namespace: String) -> Bool {
    self.namespace == Self.everyNamespace || self.namespace == namespace
  }

  /// The hexadecimal SHA-256 of a token's text.
  static func hash(of secret: String) -> String { Hex.encode(SHA256.hash(data: Array(secret.utf8))) }
}

// MARK: - The file's form: JSON lines, in the schema's spelling

extension TokenEntry {
  private struct Line: Codable {
    var hash: String
    var namespace: String
    var role: String
    var created_at: Int64
    var name: String?
  }

  /// One line, with its newline.
  func line() throws(TokensError) -> [UInt8] {
    let line = Line(hash: hash, namespace: namespace, role: role.rawValue, created_at: createdAt, name: name)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(line)) + [UInt8(ascii: "\n")]
    } catch {
      throw TokensError("a token entry has no JSON form: \(error)")
    }
  }

  /// All entries of a file. Blank lines are skipped.
  ///
  /// - Throws: `TokensError` with the number of the first line that is not an entry.
  static func parse(_ bytes: [UInt8]) throws(TokensError) -> [TokenEntry] {
    var entries: [TokenEntry] = []
    for (index, text) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
      guard text.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D }) else { continue }
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(text)) else {
        throw TokensError("line \(index + 1) is not a token entry")
      }
      guard let role = Role(rawValue: line.role) else {
        let known = Role.allCases.map(\.rawValue).joined(separator: ", ")
        throw TokensError("line \(index + 1) has the role \"\(line.role)\", which is not one of \(known)")
      }
      guard let digest = Hex.decode(line.hash), digest.count == SHA256.byteCount else {
        throw TokensError("line \(index + 1) has a hash that is not 64 hex digits")
      }
      entries.append(
        TokenEntry(
          namespace: line.namespace, role: role, name: line.name ?? "", createdAt: line.created_at,
          hash: Hex.encode(digest)))
    }
    return entries
  }
}

/// Why a tokens file cannot be used: which line, or which system call.
package struct TokensError: Error, Sendable, Hashable, CustomStringConvertible {
  package var message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}

/// Lower-case hex digits.
enum Hex {
  static func encode(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Nil for an odd number of digits, or if something is not a digit.
  static func decode(_ text: String) -> [UInt8]? {
    let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = digits[index], let low = digits[index + 1] else { return nil }
      bytes.append(UInt8(high << 4 | low))
    }
    return bytes
  }
}
