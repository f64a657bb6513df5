import CCauses

/// The reasons that failures are known by: an operator's own first, then the built-in ones.
package struct Catalogue: Sendable {
  package let entries: [CatalogueEntry]
  /// Names what read a failure: `1`, or `1+file:3f9a` with an operator's file.
  package let version: String

  /// Grows with each change of the built-in entries.
  static let builtInVersion = "1"

  private let patterns: [(entry: Int, pattern: Pattern)]
  private let literals: LiteralIndex
  private let exceptions: [String: [Int]]
  /// Names of exceptions that entries know, some of which have not the form of one.
  let knownExceptions: Set<String>
  private let places: [String: Int]

  package static let builtIn: Catalogue = {
    let text = unsafe String(
      decoding: UnsafeBufferPointer(start: mend_causes(), count: mend_causes_size()), as: UTF8.self)
    do {
      let file = try CatalogueFile(text, file: "causes.jsonl", isBuiltIn: true)
      return Catalogue(entries: file.entries, version: builtInVersion)
    } catch {
      preconditionFailure("the built-in catalogue: \(error)")
    }
  }()

  init(entries: [CatalogueEntry], version: String) {
    self.entries = entries
    self.version = version
    patterns = entries.enumerated().flatMap { index, entry in entry.patterns.map { (index, $0) } }
    literals = LiteralIndex(
      patterns.enumerated().flatMap { number, pattern in pattern.pattern.literals.map { ($0, number) } })
    var exceptions: [String: [Int]] = [:]
    for (index, entry) in entries.enumerated() {
      for name in entry.exceptions { exceptions[name, default: []].append(index) }
    }
    self.exceptions = exceptions
    knownExceptions = Set(exceptions.keys)
    places = Dictionary(entries.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// With an operator's entries before these. One with the id of a built-in entry takes its place.
  package func preceded(by file: CatalogueFile) -> Catalogue {
    let ids = Set(file.entries.map(\.id))
    return Catalogue(
      entries: file.entries + entries.filter { !ids.contains($0.id) },
      version: "\(version)+file:\(file.fingerprint.prefix(4))")
  }

  package subscript(_ id: String) -> CatalogueEntry? { places[id].map { entries[$0] } }

  /// What an exit code alone is known to mean.
  func entry(knownByExitCode code: Int32) -> CatalogueEntry? {
    entries.first { $0.isKnownByExitCode && $0.exitCodes.contains(code) }
  }
}

// MARK: lines

extension Catalogue {
  /// An entry that a line matches, with what its pattern captured.
  struct Match {
    var entry: CatalogueEntry
    var captures: [String] = []
    var namedCaptures: [String: String] = [:]
  }

  /// All entries that a text alone matches, wherever they may stand.
  func matches(in text: String) -> [Match] {
    var matcher = PatternMatcher()
    return matches(in: OutputLine(text, knownExceptions: knownExceptions), in: nil, &matcher)
  }

  /// All entries that the line matches, in the catalogue's order: the first one wins.
  func matches(in line: OutputLine, in surroundings: Surroundings?, _ matcher: inout PatternMatcher) -> [Match] {
    var found: [Int: Match] = [:]
    for name in line.exceptionNames {
      for index in exceptions[name] ?? [] { found[index] = Match(entry: entries[index]) }
    }
    for number in literals.numbers(in: line.bytes[...]) {
      let (index, pattern) = patterns[number]
      if let known = found[index], !known.captures.isEmpty || pattern.captureNames.isEmpty { continue }
      guard let match = line.firstMatch(of: pattern, &matcher) else { continue }
      var captured = Match(entry: entries[index])
      for (number, range) in match.captures.enumerated() {
        guard let range else { continue }
        let text = String(decoding: line.bytes[range], as: UTF8.self)
        captured.captures.append(text)
        if let name = pattern.captureNames[number] { captured.namedCaptures[name] = text }
      }
      found[index] = captured
    }
    return found.sorted { $0.key < $1.key }.map(\.value).filter { surroundings?.fit($0.entry) ?? true }.map { match in
      var match = match
      match.entry = match.entry.reason.flatMap { self[$0] } ?? match.entry
      return match
    }
  }
}

/// Where a line stands: what an entry may ask for besides the line.
struct Surroundings {
  private let exit: Failure.Exit?
  private let text: String

  init(_ failure: Failure) {
    exit = failure.exit
    text = (failure.stderr + failure.stdout + failure.names).joined(separator: "\n").lowercased()
  }

  func fit(_ entry: CatalogueEntry) -> Bool {
    if !entry.exitCodes.isEmpty {
      guard case .code(let code) = exit, entry.exitCodes.contains(code) else { return false }
    }
    return entry.context.isEmpty || entry.context.contains(where: text.contains)
  }
}
