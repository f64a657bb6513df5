/// What to do, for people: a sentence, and the command that does it where Mend's program has one.
///
/// The core names a command; MendServer spells it (CommandLine.swift).
package struct Advice: Hashable, Sendable, ExpressibleByStringInterpolation {
  /// Without a full stop; empty where the command says it all.
  package var text: String
  package var command: ProgramCommand?

  package init(_ text: String, _ command: ProgramCommand? = nil) {
    self.text = text
    self.command = command
  }

  package init(stringLiteral text: String) { self.init(text) }
}

/// What Mend's program can be asked for. Where it is about a batch, it is the batch that is advised on.
package enum ProgramCommand: Hashable, Sendable {
  case call(Remedy.Call)
  case resume
  case watch
  case report
  /// A server with these options, beside those that it has.
  case serve([ServerOption])
  /// A journal of what can still be read of a damaged one.
  case rebuildJournal
}

/// What a server can be started with.
package enum ServerOption: Hashable, Sendable {
  /// The executor, with what it is to have; nil leaves it as it is.
  case capacity(ExecutorKind, isStandard: Bool, cpus: Double?, memoryBytes: Int64?)
  case quota(namespace: String, Quota)
  case adoptCopy
  case notifications
}
