package import MendCore

/// One line of a catalogue: a reason for failures, or words that tell no reason, and how they are recognized.
package struct CatalogueEntry: Sendable {
  /// What a line says of a failure.
  package enum Role: String, Sendable, CaseIterable {
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
  package enum Retry: String, Sendable, CaseIterable {
    case never, once, backoff, elsewhere, slower
    case moreMemory = "more_memory"
  }

  /// Never changes: `pdf.encrypted`.
  package let id: String
  package let role: Role
  /// The id of the entry that tells what it means; nil where it tells so itself.
  package let reason: String?
  /// What it is evidence of; nil for words that tell no reason.
  package let cause: FailureCause?
  /// That the cause is this one, where the words stand. Words are never certain.
  package let confidence: Confidence
  /// True where it says that the program failed rather than why: any other root beside it tells more.
  package let isCommon: Bool
  /// Exceptions by their own name, with modules where another one is called so, too.
  package let exceptions: [String]
  package let patterns: [Pattern]
  /// Exit codes by which it is known without words; with patterns or exceptions, one of them must hold as well.
  package let exitCodes: [Int32]
  /// Words of which one must stand in the output, in lower case, or in the document's name; empty where any may.
  package let context: [String]
  /// The id of the entry that it is where the line names the document.
  package let documentReason: String?
  /// What happened, in words that go on after "it failed because".
  package let meaning: String
  /// What to do, without a full stop.
  package let advice: String
  package let retry: Retry
  /// Lines of real programs that it must recognize, and others that it must not.
  package let samples: Samples

  package struct Samples: Sendable, Hashable {
    package var matching: [String]
    package var others: [String]
  }

  /// True where an exit code alone is enough.
  var isKnownByExitCode: Bool { patterns.isEmpty && exceptions.isEmpty && !exitCodes.isEmpty }
}
