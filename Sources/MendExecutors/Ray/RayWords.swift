internal import MendCore

/// What Ray's own sentences say of an end. They may stand among lines of the entrypoint's, which say nothing of Ray.
enum RayWords {
  static let sentences: [(FailureCause, [String])] = [
    (
      .oom,
      [
        "OutOfMemoryError: Task was killed due to the node running low on memory",
        "due to the node running low on memory",
        "killed due to memory pressure (OOM)", "SIGKILL by OOM killer",
        // The end of its account, all that the last lines of a log hold of it.
        "address the out of memory issue: https://docs.ray.io", "the task crashes due to OOM",
      ]
    ),
    (.preemption, ["was preempted", "is preempted", "been preempted", "to preemption"]),
    (
      .nodeFailure,
      [
        "the node it was running on is dead or unavailable", "Owner's node has crashed", "node has died", "node died",
      ]
    ),
  ]

  /// A task or an actor took its driver with it. Whether by itself or by its node's kernel Ray cannot say.
  static let crashes = [
    "WorkerCrashedError: The worker died unexpectedly", "is dead because its worker process has died",
  ]

  /// - Parameter isLog: the text carries the entrypoint's own log, where many words stand that say nothing of its end:
  ///   what Ray said of a task that it then ran again, and words of the entrypoint's own.
  static func cause(in text: String, isLog: Bool) -> FailureCause? {
    let known = withoutCauses(text)
    let rays = isLog ? ofRay(known) : known
    let searched = isLog ? rays + "\n" + endOfLog(known) : known
    return sentences.first { cause, sentences in
      sentences.contains { (cause == .oom ? searched : rays).contains($0) }
    }?.0
  }

  /// The same for a process that died with no cause that Ray knows.
  static func isCrash(in text: String, isLog: Bool) -> Bool {
    let searched = isLog ? ofRay(text) + "\n" + endOfLog(text) : text
    return crashes.contains { searched.contains($0) }
  }

  private static let beginningOfLog = "last available logs"

  /// `text` with another log, which has more of its end.
  static func replacingLog(of text: String, by log: String) -> String {
    "\(beforeLog(text))\(beginningOfLog)\n\(log)"
  }

  private static func beforeLog(_ text: String) -> Substring {
    text[..<(text.firstRange(of: beginningOfLog)?.lowerBound ?? text.endIndex)]
  }

  private static func log(in text: String) -> [Substring] {
    guard let start = text.firstRange(of: beginningOfLog) else { return [] }
    return text[start.upperBound...].split(whereSeparator: \.isNewline).map(RayLogLines.plain)
  }

  /// What stands before the log, and the exception of Ray's that the driver ended by, if it did.
  private static func ofRay(_ text: String) -> String {
    let lines = log(in: text).filter { !RayLogLines.isOfWorker($0) }
    guard let start = lines.lastIndex(where: { $0.hasPrefix("ray.exceptions.") }) else {
      return String(beforeLog(text))
    }
    // Another exception came later, and not of this one: it had been caught.
    let isCaught = lines.indices.contains { index in
      index > start && lines[index] == RayLogLines.traceback && !RayLogLines.isChain(lines[index - 1])
    }
    if isCaught { return String(beforeLog(text)) }
    return beforeLog(text) + "\n" + lines[start...].prefix(linesOfException).joined(separator: "\n")
  }

  /// The driver's last lines, from its last traceback on if there is one among them. Where it said nothing after what Ray
  /// says, and no exception ended it, that stands for them.
  private static func endOfLog(_ text: String) -> String {
    let all = log(in: text)
    let lines = all.filter { !RayLogLines.isOfWorker($0) }
    let traceback = lines.lastIndex(of: RayLogLines.traceback)
    var end = lines[(traceback ?? lines.startIndex)...].suffix(linesOfException)
    if traceback == nil { end += all.suffix(linesOfException).reversed().prefix(while: RayLogLines.isOfWorker) }
    return end.joined(separator: "\n")
  }

  private static let linesOfException = 20

  private static let beginnings = ["There are some potential root causes.", "Some common causes include:"]

  /// The list of what may have been the cause, as Ray has it, in its words; nil where there is none.
  static func causes(in text: String) -> Substring? {
    beginnings.lazy.compactMap { text.firstRange(of: $0) }.first.map { start in
      let rest = text[start.upperBound...].prefix { !$0.isNewline }
      return rest.drop { $0 == " " }.prefix(400)
    }
  }

  /// Without such a list: what only may be is no evidence.
  private static func withoutCauses(_ text: String) -> String {
    text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map { line in
      beginnings.lazy.compactMap { line.firstRange(of: $0) }.first.map { line[..<$0.lowerBound] } ?? line
    }.joined(separator: "\n")
  }

  /// How full the node was, and who held most of it: whether the task is to blame or its neighbours. nil where Ray does
  /// not say it.
  static func memoryFigures(in text: String) -> String? {
    let lines = text.split(whereSeparator: \.isNewline)
    guard let node = lines.first(where: { $0.contains("Memory on the node") }) else { return nil }
    let figures = node.firstRange(of: "was running was ").map { node[$0.upperBound...] } ?? node
    var words = "memory on the node was \(figures.prefix(160))"
    // A table of the processes that hold most, the largest first.
    if let head = lines.firstIndex(where: { $0.hasPrefix("PID") && $0.contains("MEM(GB)") }) {
      let largest = lines[(head + 1)...].prefix { $0.first?.isNumber == true }.prefix(2).compactMap { row -> String? in
        let columns = row.split(maxSplits: 2) { $0 == " " || $0 == "\t" }
        return columns.count == 3 ? "\(columns[1]) GB by \(columns[2].prefix(80))" : nil
      }
      if !largest.isEmpty { words += "; most was held: \(largest.joined(separator: ", "))" }
    }
    return words
  }
}
