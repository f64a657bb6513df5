/// A place in a schema, line and column from 1; the column counts characters.
struct Location: Hashable, Comparable, Sendable {
  var file: String
  var line: Int
  var column: Int

  static func < (left: Location, right: Location) -> Bool {
    (left.file, left.line, left.column) < (right.file, right.line, right.column)
  }
}

/// A fault in a schema; printed as compilers print theirs, so that editors and build logs can follow it.
struct Diagnostic: Error, Hashable, Sendable, CustomStringConvertible {
  var location: Location
  var message: String

  var description: String {
    "\(location.file):\(location.line):\(location.column): error: \(message)"
  }
}

/// Collects faults, so that one run tells as many as it can.
struct Diagnostics {
  private(set) var all: [Diagnostic] = []
  /// A file that is no schema at all has a fault a character.
  private var seen: Set<Diagnostic> = []

  mutating func report(_ message: String, at location: Location) {
    let diagnostic = Diagnostic(location: location, message: message)
    if seen.insert(diagnostic).inserted { all.append(diagnostic) }
  }

  mutating func report(_ diagnostic: Diagnostic) { report(diagnostic.message, at: diagnostic.location) }
}
