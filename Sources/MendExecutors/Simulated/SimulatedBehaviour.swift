package import MendCore

/// How a simulated attempt goes: words of the form `NAME=VALUE`, separated by spaces.
///
/// They come from the extractor's command, where its first word is `simulate`, and from `MEND_SIMULATE` in its
/// environment, of which the latter win. Without any, every document is completed at once. Equal words over equal
/// documents make the same documents fail, always: what is random comes from `seed` and the document's id.
package struct SimulatedBehaviour: Hashable, Sendable {
  /// What goes wrong with a whole attempt.
  package enum Fault: Hashable, Sendable {
    case exit(Int32)
    case signal(Int32)
    case oom
    /// Taken away by who owns the machine.
    case preemption
    /// It beats, and does nothing.
    case hang
    /// It is not heard of any more.
    case silence
    /// Who supervised it was killed: it is over, and nobody knows how.
    case lostSupervisor
    /// The executor does not know it any more.
    case vanish
  }

  package enum Launching: Hashable, Sendable {
    case works
    case fails
    /// It is taken, and never started.
    case neverStarts
  }

  package var seed: UInt64 = 0
  package var start = Range(.zero)
  /// Of one document.
  package var document = Range(.zero)
  /// From the signal to the end.
  package var end = Range(.zero)
  /// Documents of one claim.
  package var claim = 16
  /// Documents that fail, in percent, and their code.
  package var failPercent = 0.0
  package var failCode = "simulated"
  /// Results that are reported a second time, in percent.
  package var repeatPercent = 0.0
  package var fault: Fault?
  /// The fault comes while the attempt has its document of this number, counted from 1; 0 is when all are done.
  package var faultAt = 0
  /// The fault comes with this document instead, in whichever attempt has it; empty for none.
  package var faultDocument = ""
  /// Only attempts up to this number have the fault.
  package var faultAttempts = Int.max
  /// What it holds at its peak; out of memory is only who has a lower limit, or none.
  package var memoryBytes: Int64 = 0
  package var launching = Launching.works
  /// The answer to its launch gets lost; its worker is heard of all the same.
  package var losesAnswer = false
  /// A second one runs under its name.
  package var hasDuplicate = false
  /// What it had in process is reported after its end.
  package var reportsLate = false
  /// It never reports: its exit code speaks for its documents.
  package var isOpaque = false
  /// Only SIGKILL, after the grace, ends it.
  package var ignoresTerm = false

  /// A time, or one drawn evenly between two.
  package struct Range: Hashable, Sendable {
    package var least: Duration
    package var most: Duration

    package init(_ least: Duration, _ most: Duration? = nil) {
      self.least = least
      self.most = most ?? least
    }
  }

  package init() {}

  /// What a word says that is not understood.
  package struct Mistake: Error, Hashable, Sendable, CustomStringConvertible {
    package var description: String
  }

  /// The behaviour that a launch asks for.
  package init(of parameters: SubmissionParameters) throws(Mistake) {
    let command =
      switch parameters.work {
      case .documentCommand(let text), .entrypoint(let text): text
      }
    let words = command.split(whereSeparator: \.isWhitespace)
    if words.first == "simulate" { for word in words.dropFirst() { try apply(String(word)) } }
    for word in (parameters.environment["MEND_SIMULATE"] ?? "").split(whereSeparator: \.isWhitespace) {
      try apply(String(word))
    }
  }
}

extension SimulatedBehaviour {
  /// One line a word, for help texts.
  package static let words = [
    "seed=N              selects which documents fail",
    "start_seconds=S     time from the launch to the start; or a range: 0.1-0.5",
    "document_seconds=S  time of one document",
    "end_seconds=S       time from SIGTERM to the end",
    "claim=N             documents of one claim; default 16",
    "fail=P%:CODE        this share of the documents fails, with this code",
    "repeat=P%           this share of the results is reported twice",
    "oom_at=N            runs out of memory at its Nth document",
    "memory=BYTES        runs out of memory only below this memory limit",
    "exit=CODE           exits with this status when all is done",
    "exit_at=N:CODE      exits with this status at its Nth document",
    "signal_at=N:NUMBER  is killed by a signal",
    "preempt_at=N        is preempted at its Nth document",
    "hang_at=N           sends heartbeats and makes no more progress",
    "silence_at=N        sends nothing more",
    "lost_supervisor_at=N  ends in a way that nobody knows",
    "vanish_at=N         the executor no longer knows it",
    "poison=ID           its fault comes with this document, not at a number",
    "times=N             only the first N attempts of a job have the fault",
    "launch_fails, never_starts, lost_answer, duplicate, late, opaque,",
    "ignore_term         behave as their names say",
  ]

  private mutating func apply(_ word: String) throws(Mistake) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else { return try apply(flag: word) }
    let (name, value) = (parts[0], parts[1])
    switch name {
    case "seed": seed = UInt64(try number(value, word))
    case "start_seconds": start = try range(value, word)
    case "document_seconds": document = try range(value, word)
    case "end_seconds": end = try range(value, word)
    case "claim": claim = max(1, try number(value, word))
    case "fail":
      let halves = value.split(separator: ":", maxSplits: 1).map(String.init)
      failPercent = try percent(halves.first ?? "", word)
      if halves.count == 2 { failCode = halves[1] }
    case "repeat": repeatPercent = try percent(value, word)
    case "memory": memoryBytes = Int64(try number(value, word, atMost: Int(ValueLimit.memoryBytes)))
    case "poison": faultDocument = value
    case "times": faultAttempts = try number(value, word)
    case "exit": try set(.exit(try code(value, word)), at: "0", word)
    case "exit_at", "signal_at":
      let halves = value.split(separator: ":", maxSplits: 1).map(String.init)
      guard halves.count == 2 else { throw Mistake(description: "'\(word)': expected \(name)=N:NUMBER") }
      let which = try code(halves[1], word)
      try set(name == "exit_at" ? .exit(which) : .signal(which), at: halves[0], word)
    case "oom_at": try set(.oom, at: value, word)
    case "preempt_at": try set(.preemption, at: value, word)
    case "hang_at": try set(.hang, at: value, word)
    case "silence_at": try set(.silence, at: value, word)
    case "lost_supervisor_at": try set(.lostSupervisor, at: value, word)
    case "vanish_at": try set(.vanish, at: value, word)
    default: throw Mistake(description: "'\(word)': unknown setting \(name) of a simulated attempt")
    }
  }

  private mutating func apply(flag word: String) throws(Mistake) {
    switch word {
    case "launch_fails": launching = .fails
    case "never_starts": launching = .neverStarts
    case "lost_answer": losesAnswer = true
    case "duplicate": hasDuplicate = true
    case "late": reportsLate = true
    case "opaque": isOpaque = true
    case "ignore_term": ignoresTerm = true
    default: throw Mistake(description: "'\(word)': unknown setting of a simulated attempt")
    }
  }

  private mutating func set(_ fault: Fault, at text: String, _ word: String) throws(Mistake) {
    if self.fault != nil && self.fault != fault {
      throw Mistake(description: "'\(word)': a simulated attempt has only one fault, and another was given before")
    }
    self.fault = fault
    faultAt = try number(text, word)
  }

  private func number(_ text: String, _ word: String, atMost most: Int = ValueLimit.count) throws(Mistake) -> Int {
    guard let number = Int(text), (0...most).contains(number) else {
      throw Mistake(description: "'\(word)': '\(text)' is not a whole number from 0 to \(most)")
    }
    return number
  }

  private func code(_ text: String, _ word: String) throws(Mistake) -> Int32 {
    guard let code = Int32(text), (0...255).contains(code) else {
      throw Mistake(description: "'\(word)': '\(text)' is not a number from 0 to 255")
    }
    return code
  }

  private func percent(_ text: String, _ word: String) throws(Mistake) -> Double {
    guard text.hasSuffix("%"), let percent = Double(text.dropLast()), (0...100).contains(percent) else {
      throw Mistake(description: "'\(word)': '\(text)' is not a percentage such as 3%")
    }
    return percent
  }

  private func range(_ text: String, _ word: String) throws(Mistake) -> Range {
    let ends = text.split(separator: "-").map { Double($0) }
    guard (1...2).contains(ends.count), let least = ends[0], let most = ends[ends.count - 1], least >= 0, most >= least,
      most <= Self.longestSeconds
    else {
      throw Mistake(
        description: "'\(word)': '\(text)' is not a time such as 0.5 or 0.1-0.5, up to \(Int(Self.longestSeconds)) s"
      )
    }
    return Range(Self.duration(least), Self.duration(most))
  }

  /// A thousand documents a second and more need less than a millisecond each.
  private static func duration(_ seconds: Double) -> Duration { .nanoseconds(Int64(seconds * 1e9)) }

  private static let longestSeconds = 1e9
}

extension SimulatedBehaviour {
  func fails(_ documentID: String) -> Bool { draw(documentID, salt: 1) * 100 < failPercent }

  func repeats(_ documentID: String) -> Bool { draw(documentID, salt: 2) * 100 < repeatPercent }

  func time(_ range: Range, _ name: String) -> Duration {
    guard range.most > range.least else { return range.least }
    return range.least + (range.most - range.least) * draw(name, salt: 3)
  }

  /// 0 to below 1; FNV-1a over the text, mixed.
  private func draw(_ text: String, salt: UInt64) -> Double {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ (seed &* 0x9E37_79B9_7F4A_7C15) ^ salt
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
    return Double((hash ^ (hash >> 31)) >> 11) / Double(UInt64(1) << 53)
  }
}
