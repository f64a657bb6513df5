import MendCore

/// What the way in which a program ended is known to mean, without its words.
struct ExitMeaning {
  var reading: Reading
  /// The kernel's own word, which the program's cannot change.
  var outranksWords = false
  /// The program ended itself after a check of its own: what it says of it tells more, whatever it says.
  var isOwn = false

  /// Nil where the exit code is the program's own and no entry knows it.
  static func of(_ exit: Failure.Exit, _ catalogue: Catalogue) -> ExitMeaning? {
    switch exit {
    case .signal(let number):
      return ExitMeaning(signal: number, isMeasured: true)
    case .code(let code):
      if let entry = catalogue.entry(knownByExitCode: code), let cause = entry.cause {
        return ExitMeaning(
          reading: Reading(reason: entry.id, cause: cause, confidence: entry.confidence, basis: .exit))
      }
      return signal(toldBy: code).map { ExitMeaning(signal: $0, isMeasured: false) }
    }
  }

  private init(reading: Reading) { self.reading = reading }

  private init(signal number: Int32, isMeasured: Bool) {
    let reason = Self.reasons[number] ?? "exit.signal"
    let isLimit = number == 24 || number == 25
    // Who sent the signal can't be seen from a SIGKILL.
    let confidence: Confidence = number == 9 ? .low : isMeasured ? .high : .medium
    reading = Reading(
      reason: reason, cause: isLimit ? .resourceLimit : .signal, confidence: confidence,
      basis: isMeasured ? .measured : .exit)
    isOwn = [4, 5, 6].contains(number)
    outranksWords = isMeasured && !isOwn
  }

  private static let reasons: [Int32: String] = [
    6: "signal.abort", 9: "signal.killed", 11: "signal.segfault", 15: "signal.terminated", 24: "limit.cpu_time",
    25: "limit.file_size",
  ]

  /// The signal that an exit code stands for: 128 and its number by a shell, 256 less its number by a program that hands
  /// on a negative return code. Other codes above 128 are programs' own.
  private static func signal(toldBy code: Int32) -> Int32? {
    if [2, 3, 4, 6, 7, 8, 9, 11, 13, 15, 24, 25].contains(code - 128) { return code - 128 }
    return [4, 6, 7, 8, 9, 11, 15].contains(256 - code) ? 256 - code : nil
  }
}
