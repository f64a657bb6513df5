public import MendCore

/// Why something failed, as far as its end and its output tell.
public struct Reading: Sendable {
  /// What the cause rests on, from the strongest to the weakest.
  public enum Basis: String, Sendable, CaseIterable {
    case measured
    /// The program's own words.
    case said
    /// The exit code or signal alone.
    case exit
    /// A worker's guess.
    case guessed
    case nothing
  }

  /// The catalogue's id of it: `http.429`.
  public var reason: String
  public var cause: FailureCause
  public var confidence: Confidence
  public var basis: Basis
  /// The line that tells, as printed, of at most `lineLimit` bytes; nil where nothing was printed.
  public var line: Line?
  /// Of a chain of errors, the outermost one, which the program was busy with.
  public var outerLine: String?
  /// What the entry's pattern captured: a module's name, a host, seconds to wait.
  public var captures: [String] = []
  public var namedCaptures: [String: String] = [:]
  /// Other entries that lines of the output match.
  public var others: [String] = []
  /// The output was too costly to read to its end.
  public var isIncomplete = false

  public static let lineLimit = 1024

  public struct Line: Sendable, Hashable {
    public enum Stream: String, Sendable { case stderr, stdout }

    public var text: String
    public var stream: Stream
    /// Of the lines that were given, from 0.
    public var index: Int
  }
}
