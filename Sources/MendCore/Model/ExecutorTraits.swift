/// How executors differ, beside what each has to give. The program states it of every kind of executor that it knows, and
/// the core decides by it, never by an executor's name.
package struct ExecutorTraits: Hashable, Sendable {
  /// What people call it.
  package var title = "the executor"
  /// Attempts run below a supervisor, so that exit statuses come from the kernel. Otherwise the executor reports them.
  package var isSupervised = true
  /// Who measures what attempts use.
  package var measuredBy = Evidence.Observer.executor
  /// It enforces an extractor's limits on CPU time, open files, processes and logs.
  package var enforcesAttemptLimits = true
  /// It may have to make machines first, before an attempt starts.
  package var startsFromZero = false
  /// The shortest start window that is learned, however fast starts were before.
  package var shortestStartWindow = Timers.defaultStart
  /// How a server gets this executor, as a clause: "serve with --executor simulated".
  package var howToAdd = "start the server with it"
  /// The command that ends a launch by hand, before the launch's name; empty where there is none.
  package var endCommand = ""

  package init() {}
}
