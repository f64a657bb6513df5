/// What the signals mean that programs end of, for people and for the table of causes.
struct SignalMeaning: Sendable, Hashable {
  let number: Int32
  let name: String
  let cause: FailureCause
  /// That the cause is this one; that the signal came is the kernel's own word.
  let confidence: Confidence
  /// In words that go on after its name.
  let meaning: String
  let resolution: String

  /// The program sent it to itself, most likely, and may have said why before.
  var isOwn: Bool { number == 5 || number == 6 }

  static func named(_ number: Int32) -> SignalMeaning? { all.first { $0.number == number } }

  /// The signal that a shell's exit code stands for, 128 and its number, where it is one that programs end of; nil for any
  /// other: 137 has a rule of its own, and 129 is a code that programs use themselves.
  static func shellsWord(_ exitCode: Int32) -> SignalMeaning? {
    let number = exitCode - 128
    return [2, 3, 4, 6, 7, 8, 11, 13, 15, 24, 25].contains(number) ? named(number) : nil
  }

  private init(
    _ number: Int32, _ name: String, _ meaning: String, _ resolution: String, _ cause: FailureCause = .signal
  ) {
    self.number = number
    self.name = name
    self.cause = cause
    self.confidence = cause == .signal ? .high : .medium
    self.meaning = meaning
    self.resolution = resolution
  }

  /// What it says of an end, as evidence.
  func evidence(at now: Instant) -> Evidence {
    Evidence("\(name): \(meaning)", by: .scheduler, at: now, values: ["signal_name": name])
  }

  private static let byHand = "Correct the program: run it by hand on a document that was in process"
  private static let bySomebody = "Find out who sent it (an operator, a shutdown, another program): nobody here did"

  static let all = [
    SignalMeaning(1, "SIGHUP", "its terminal or session went away, or somebody sent it", bySomebody),
    SignalMeaning(2, "SIGINT", "somebody interrupted it", bySomebody),
    SignalMeaning(3, "SIGQUIT", "somebody made it quit", bySomebody),
    SignalMeaning(
      4, "SIGILL", "an instruction that this machine's processor does not have, or a trap of the program's own",
      "Build the program for the processors that attempts run on; where it traps by itself, correct it"),
    SignalMeaning(5, "SIGTRAP", "a trap of the program's own: a check that failed", byHand),
    SignalMeaning(6, "SIGABRT", "it ended itself: a check or an assertion of its own failed", byHand),
    SignalMeaning(
      7, "SIGBUS", "what it had mapped was not there: a file that was cut, or a full disk or /dev/shm under a mapping",
      "See that the files it maps are whole, and that the disk and /dev/shm have room"),
    SignalMeaning(8, "SIGFPE", "an impossible calculation, as an integer divided by zero", byHand),
    SignalMeaning(
      9, "SIGKILL", "somebody, or the kernel for want of memory, killed it",
      "Find out who killed it: the kernel's log on its machine tells where it was for want of memory"),
    SignalMeaning(
      11, "SIGSEGV", "it touched memory that is not its own: a fault of native code, or a stack that was full", byHand),
    SignalMeaning(
      13, "SIGPIPE", "it wrote to a pipe or connection that nobody read any more",
      "See why the program that reads its output ended first"),
    SignalMeaning(14, "SIGALRM", "an alarm that it had set itself", "See what it waited for so long"),
    SignalMeaning(
      15, "SIGTERM", "somebody asked it to end: an operator, a shutdown, a cluster that takes room away", bySomebody),
    SignalMeaning(
      24, "SIGXCPU", "it used more processor time than it may (ulimit -t)",
      "See whether it must compute so long, or raise the limit of processor time", .resourceLimit),
    SignalMeaning(
      25, "SIGXFSZ", "a file of it grew past the size that it may have (ulimit -f)",
      "See whether its file must be so large, or raise the limit of a file's size", .resourceLimit),
    SignalMeaning(
      31, "SIGSYS", "a system call that it is not allowed (seccomp)",
      "Allow the system call where attempts run, or do without it"),
  ]
}

extension SignalMeaning {
  /// It comes from outside of the program, whatever the program has in hand: from an operator, a shutdown, a terminal.
  var isFromOutside: Bool { [1, 2, 3, 15].contains(number) }
}

extension ExitRecord {
  /// The signal that ended it, by the kernel's word or by a shell's.
  var signal: SignalMeaning? {
    switch termination {
    case .signalled(let number): SignalMeaning.named(number)
    case .exited(let code): SignalMeaning.shellsWord(code)
    case .notStarted, .unknown: nil
    }
  }
}
