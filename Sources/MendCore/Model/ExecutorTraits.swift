/// How executors differ, beside what each has to give. The program states it of every kind of executor that it knows, and
/// the core decides by it, never by an executor's name.
public struct ExecutorTraits: Hashable, Sendable {
  /// What people call it.
  public var title = "the executor"
  /// Attempts run below a supervisor, so that exit statuses come from the kernel. Otherwise the executor reports them.
  public var isSupervised = true
  /// Who measures what attempts use.
  public var measuredBy = Evidence.Observer.executor
  /// It enforces an extractor's limits on CPU time, open files, processes and logs.
  public var enforcesAttemptLimits = true
  /// It may have to make machines first, before an attempt starts.
  public var startsFromZero = false
  /// The shortest start window that is learned, however fast starts were before.
  public var shortestStartWindow = Timers.defaultStart
  /// How a server gets this executor, as a clause: "serve with --executor simulated".
  public var howToAdd = "start the server with it"
  /// The command that ends a launch by hand, before the launch's name; empty where there is none.
  public var endCommand = ""

  public init() {}
}
