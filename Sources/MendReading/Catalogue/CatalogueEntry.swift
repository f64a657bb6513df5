public import MendCore

/// One line of a catalogue: a reason for failures, or words that tell no reason, and how they are recognized.
public struct CatalogueEntry: Sendable {
  /// What a line says of a failure.
  public enum Role: String, Sendable, CaseIterable {
    /// Why it failed.
    case root
    /// That something failed because something else did.
    case cascade
    /// What the reader might do.
    case advice
    /// That it ends.
    case teardown
    /// Nothing: progress, warnings, rules of dashes.
    case noise
  }

  /// How another try can help.
  public enum Retry: String, Sendable, CaseIterable {
    case never, once, backoff, elsewhere, slower
    case moreMemory = "more_memory"
  }

  /// Never changes: `pdf.encrypted`.
  public let id: String
  public let role: Role
  /// The id of the entry that tells what it means; nil where it tells so itself.
  public let reason: String?
  /// What it is evidence of; nil for words that tell no reason.
  public let cause: FailureCause?
  /// That the cause is this one, where the words stand. Words are never certain.
  public let confidence: Confidence
  /// True where it says that the program failed rather than why: any other root beside it tells more.
  public let isCommon: Bool
  /// Exceptions by their own name, with modules where another one is called so, too.
  public let exceptions: [String]
  public let patterns: [Pattern]
  /// Exit codes by which it is known without words; with patterns or exceptions, one of them must hold as well.
  public let exitCodes: [Int32]
  /// Words of which one must stand in the output, in lower case, or in the document's name; empty where any may.
  public let context: [String]
  /// The id of the entry that it is where the line names the document.
  public let documentReason: String?
  /// What happened, in words that go on after "it failed because".
  public let meaning: String
  /// What to do, without a full stop.
  public let advice: String
  public let retry: Retry
  /// Lines of real programs that it must recognize, and others that it must not.
  public let samples: Samples

  public struct Samples: Sendable, Hashable {
    public var matching: [String]
    public var others: [String]
  }

  /// True where an exit code alone is enough.
  var isKnownByExitCode: Bool { patterns.isEmpty && exceptions.isEmpty && !exitCodes.isEmpty }
}
