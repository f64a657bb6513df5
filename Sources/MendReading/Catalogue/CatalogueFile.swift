import MendCore
import MendProtobuf

/// Why a file is no catalogue: it is refused whole.
package struct CatalogueError: Error, Sendable, Hashable, CustomStringConvertible {
  package let file: String
  /// From 1; nil where it is the whole file's fault.
  package let line: Int?
  package let reason: String

  package var description: String { "\(file):\(line.map { "\($0):" } ?? "") \(reason)" }
}

/// A catalogue as it stands in a file: one JSON object a line. Blank lines and lines that begin with `#` say nothing.
package struct CatalogueFile: Sendable {
  package static let byteLimit = 262_144
  package static let entryLimit = 1000

  /// Sixteen hexadecimal digits that tell its text apart from others.
  package let fingerprint: String
  package let entries: [CatalogueEntry]

  package init(_ text: String, file: String) throws(CatalogueError) {
    try self.init(text, file: file, isBuiltIn: false)
  }

  /// - Parameter isBuiltIn: its samples are checked by tests, not at each start.
  init(_ text: String, file: String, isBuiltIn: Bool) throws(CatalogueError) {
    guard text.utf8.count <= Self.byteLimit else {
      throw CatalogueError(file: file, line: nil, reason: "it is longer than \(Self.byteLimit / 1024) KiB")
    }
    var entries: [CatalogueEntry] = []
    var places: [String: Int] = [:]
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line.allSatisfy(\.isWhitespace) || line.hasPrefix("#") { continue }
      do {
        let entry = try CatalogueEntry(JSONNode(parsing: String(line), depth: 4))
        if let place = places.updateValue(index + 1, forKey: entry.id) {
          throw EntryFault("'\(entry.id)' is in line \(place) already")
        }
        if !isBuiltIn { try entry.checkSamples() }
        entries.append(entry)
      } catch {
        let reason =
          switch error {
          case let fault as EntryFault: fault.reason
          case let fault as JSONDecodingError:
            fault.reason + (fault.position.map { ", at byte \($0.column)" } ?? "")
          default: "\(error)"
          }
        throw CatalogueError(file: file, line: index + 1, reason: reason)
      }
      guard entries.count <= Self.entryLimit else {
        throw CatalogueError(file: file, line: index + 1, reason: "a file has at most \(Self.entryLimit) entries")
      }
    }
    let ids = Set(entries.map(\.id))
    for entry in entries {
      let named = [entry.reason, entry.documentReason].compactMap(\.self)
      if let unknown = named.first(where: { !ids.contains($0) && (isBuiltIn || Catalogue.builtIn[$0] == nil) }) {
        throw CatalogueError(file: file, line: places[entry.id], reason: "'\(unknown)' is the id of no entry")
      }
    }
    self.entries = entries
    fingerprint = FixedHash.of(text).hexadecimal
  }
}

/// What is wrong with an entry.
struct EntryFault: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}

// MARK: an entry from JSON

extension CatalogueEntry {
  static let idLimit = 64
  static let textLimit = 500
  static let listLimit = 64
  static let sampleLimit = 1024

  init(_ node: JSONNode) throws {
    var fields = try EntryFields(node)
    id = try fields.text("id", limit: Self.idLimit) ?? ""
    guard !id.isEmpty, id.utf8.allSatisfy({ $0.isWordByte || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") })
    else {
      throw EntryFault("'id' must be letters, digits and _ . -, as in \"pdf.encrypted\"")
    }
    role = try fields.choice("role") ?? .root
    reason = try fields.text("reason", limit: Self.idLimit)
    cause = try fields.choice("cause")
    confidence = try fields.choice("confidence") ?? .medium
    isCommon = try fields.flag("common")
    exceptions = try fields.texts("exceptions", limit: Self.idLimit * 2)
    context = try fields.texts("context", limit: Self.idLimit).map { $0.lowercased() }
    documentReason = try fields.text("if_document", limit: Self.idLimit)
    exitCodes = try fields.exitCodes("exit_codes")
    var patterns: [Pattern] = []
    for text in try fields.texts("patterns", limit: Pattern.byteLimit) {
      do {
        patterns.append(try Pattern(text))
      } catch {
        throw EntryFault("pattern '\(text)': \(error)")
      }
    }
    self.patterns = patterns
    meaning = try fields.text("meaning", limit: Self.textLimit) ?? ""
    advice = try fields.text("advice", limit: Self.textLimit) ?? ""
    let retry: Retry? = try fields.choice("retry")
    self.retry = retry ?? .never
    samples = Samples(
      matching: try fields.texts("matches", limit: Self.sampleLimit),
      others: try fields.texts("rejects", limit: Self.sampleLimit))
    try fields.finish()
    if reason != nil {
      guard role == .root, cause == nil, meaning.isEmpty, advice.isEmpty, retry == nil else {
        throw EntryFault("an entry with a 'reason' has no 'cause', 'meaning', 'advice', 'retry' or 'role' of its own")
      }
    } else if role == .root {
      guard cause != nil, !meaning.isEmpty, !advice.isEmpty, retry != nil else {
        throw EntryFault(
          "an entry needs 'cause', 'meaning', 'advice' and 'retry', or the 'reason' that it is an instance of")
      }
    } else if cause != nil || retry != nil || isCommon || !exitCodes.isEmpty {
      throw EntryFault("words of the role \(role.rawValue) have no 'cause', 'retry', 'common' or 'exit_codes'")
    } else if patterns.isEmpty && exceptions.isEmpty {
      throw EntryFault("words of the role \(role.rawValue) need 'patterns'")
    }
    if confidence == .high { throw EntryFault("'confidence' is low or medium: words are never certain") }
    if (!patterns.isEmpty || !exceptions.isEmpty) && samples.matching.isEmpty {
      throw EntryFault("'matches' must hold at least one line that it recognizes")
    }
  }

  func checkSamples() throws {
    let catalogue = Catalogue(entries: [self], version: "")
    for sample in samples.matching where catalogue.matches(in: sample).isEmpty {
      throw EntryFault("it does not recognize '\(sample)' of its 'matches'")
    }
    for sample in samples.others where !catalogue.matches(in: sample).isEmpty {
      throw EntryFault("it recognizes '\(sample)' of its 'rejects'")
    }
  }
}

/// The members of an entry's JSON object, each read once.
private struct EntryFields {
  private var members: [String: JSONNode]

  init(_ node: JSONNode) throws {
    guard case .object(let members) = node.content else { throw EntryFault("a line is a JSON object") }
    self.members = Dictionary(uniqueKeysWithValues: members.map { ($0.name, $0.value) })
  }

  /// - Throws: where a member is left that nobody read.
  func finish() throws {
    if let name = members.keys.min() { throw EntryFault("'\(name)' is no field of an entry") }
  }

  mutating func text(_ name: String, limit: Int) throws -> String? {
    guard let node = members.removeValue(forKey: name) else { return nil }
    return try Self.text(node, name, limit)
  }

  mutating func texts(_ name: String, limit: Int) throws -> [String] {
    guard let node = members.removeValue(forKey: name) else { return [] }
    guard case .array(let nodes) = node.content, nodes.count <= CatalogueEntry.listLimit else {
      throw EntryFault("'\(name)' must be a list of at most \(CatalogueEntry.listLimit)")
    }
    return try nodes.map { try Self.text($0, name, limit) }
  }

  private static func text(_ node: JSONNode, _ name: String, _ limit: Int) throws -> String {
    guard case .string(let text) = node.content, (1...limit).contains(text.utf8.count) else {
      throw EntryFault("'\(name)' must be text of 1 to \(limit) bytes")
    }
    return text
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(_ name: String) throws -> Choice?
  where Choice.RawValue == String {
    guard let text = try text(name, limit: CatalogueEntry.idLimit) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      throw EntryFault("'\(name)' must be one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return choice
  }

  mutating func flag(_ name: String) throws -> Bool {
    guard let node = members.removeValue(forKey: name) else { return false }
    guard case .bool(let flag) = node.content else { throw EntryFault("'\(name)' must be true or false") }
    return flag
  }

  mutating func exitCodes(_ name: String) throws -> [Int32] {
    guard let node = members.removeValue(forKey: name) else { return [] }
    guard case .array(let nodes) = node.content else { throw EntryFault("'\(name)' must be a list") }
    return try nodes.map { node in
      guard case .integer(let code) = node.content, (1...255).contains(code) else {
        throw EntryFault("'\(name)' must have numbers from 1 to 255")
      }
      return Int32(code)
    }
  }
}
