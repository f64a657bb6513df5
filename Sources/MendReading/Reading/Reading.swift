package import MendCore

/// Why something failed, as far as its end and its output tell.
package struct Reading: Sendable {
  /// What the cause rests on, from the strongest to the weakest.
  package enum Basis: String, Sendable, CaseIterable {
    case measured
    /// The program's own words.
    case said
    /// The exit code or signal alone.
    case exit
    /// The cause that a worker guessed and reported with the document.
    case guessed
    case nothing
  }

  /// The catalogue's id of it: `http.429`.
  package var reason: String
  package var cause: FailureCause
  package var confidence: Confidence
  package var basis: Basis
  /// The line that tells, as printed, of at most `lineLimit` bytes; nil where nothing was printed.
  package var line: Line?
  /// Of a chain of errors, the outermost one, which the program was busy with.
  package var outerLine: String?
  /// What the entry's pattern captured: a module's name, a host, seconds to wait.
  package var captures: [String] = []
  package var namedCaptures: [String: String] = [:]
  /// Other entries that lines of the output match.
  package var others: [String] = []
  /// The output was too costly to read to its end.
  package var isIncomplete = false

  package static let lineLimit = 1024

  package struct Line: Sendable, Hashable {
    package enum Stream: String, Sendable { case stderr, stdout }

    package var text: String
    package var stream: Stream
    /// Of the lines that were given, from 0.
    package var index: Int
  }
}
