package import MendCore

/// What is known of a command or an attempt that failed, before it is read.
package struct Failure: Sendable {
  /// How it ended, by its wait status.
  package enum Exit: Sendable, Hashable {
    case code(Int32)
    case signal(Int32)
  }

  /// What was measured: it outranks whatever the program says.
  package enum Measured: Sendable, Hashable {
    case beyondMemoryLimit
    case beyondTimeLimit
    /// A field in which an executor says the cause.
    case found(FailureCause, Confidence)
  }

  package var exit: Exit?
  package var stderr: [String]
  package var stdout: [String]
  /// The id, uri, path and name of the document: in a line they say nothing.
  package var names: [String]
  package var measured: Measured?
  /// What a worker takes the cause to be, without having been told.
  package var guess: FailureCause?

  package init(
    exit: Exit?, stderr: [String], stdout: [String] = [], names: [String] = [], measured: Measured? = nil,
    guess: FailureCause? = nil
  ) {
    self.exit = exit
    self.stderr = stderr
    self.stdout = stdout
    self.names = names
    self.measured = measured
    self.guess = guess
  }
}
