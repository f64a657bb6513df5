import Foundation
import MendCore
import TestSupport
import Testing

/// What earlier releases wrote is read, understood and written down as it was; README.md says what the files are.
///
/// `MEND_REWRITE_DIGESTS=1` writes what the rules say now in the place of what was expected, for a look at the difference.
@Suite("Journals of earlier releases", .timeLimit(.minutes(5)))
struct JournalTests {
  static let archives = ["scenarios", "seeds", "directory"]
  static let rewrites = ProcessInfo.processInfo.environment["MEND_REWRITE_DIGESTS"] == "1"
  private let archive = JournalArchive.firstRelease

  @Test("Each journal folds to the state that it had, and the same is decided about it", arguments: archives)
  func digests(_ name: String) throws {
    var found: [String] = []
    for journal in try archive.journals(name) {
      found.append("journal \(journal.name)")
      found += try DecisionDigest(of: journal.records.map { try RecordForms.record($0, of: journal.key) }).lines
      found.append("")
    }
    try GoldenText(name: "\(name).digests", in: archive).compare(found)
  }

  @Test("No decision hangs on a sentence: reworded, a journal comes to the same", arguments: archives)
  func rewording(_ name: String) throws {
    let reworder = TextRewriter { role, text in role == .prose && !text.isEmpty ? "x" : text }
    var sentences = 0
    for journal in try archive.journals(name) {
      let records = try journal.records.map { try RecordForms.record($0, of: journal.key) }
      let reworded = records.map { reworder.rewritten($0) }
      sentences += zip(records, reworded).count { $0 != $1 }
      let (before, after) = try (DecisionDigest(of: records).lines, DecisionDigest(of: reworded).lines)
      let differences = zip(before, after).filter { $0 != $1 }.map { "\($0) | \($1)" }.prefix(3)
      #expect(before == after, "\(journal.name): \(differences.joined(separator: "; "))")
    }
    #expect(sentences > 0)
  }

  @Test("A server that takes over in the middle of a journal goes on", arguments: archives)
  func continuations(_ name: String) throws {
    var found: [String] = []
    for journal in try archive.journals(name) {
      found.append("journal \(journal.name)")
      let commits = try journal.commits
      var batch: Batch?
      for (index, commit) in commits.enumerated() {
        for bytes in commit {
          let record = try RecordForms.record(bytes, of: journal.key)
          if batch == nil { batch = Batch.creating(record) } else { try batch?.apply(record) }
        }
        // Some places of each journal, its end among them.
        guard let batch, (commits.count - 1 - index).isMultiple(of: max(1, commits.count / Self.places)) else {
          continue
        }
        found.append("after \(batch.sequence)")
        found += try Continuation(of: batch).lines
      }
      found.append("")
    }
    try GoldenText(name: "\(name).continued", in: archive).compare(found)
  }

  private static let places = 8

  /// The first release renewed a batch's time with each retry of its own. The time that was left by that word is not kept:
  /// what a journal says is what was retried and by whom, and how long a batch may take is this version's rule.
  @Test("A retry by auto_heal gives a batch of an earlier release no more time")
  func autoHealedTime() throws {
    var taken = 0
    for journal in try Self.archives.flatMap(archive.journals) {
      var batch: Batch?
      /// When its time began, while a retry of a batch that was over is under way.
      var from: Instant?
      for bytes in try journal.records {
        let record = try RecordForms.record(bytes, of: journal.key)
        if record.fact.isRetry(by: .autoHeal), batch?.status.isFinal == true { from = batch?.timeoutFrom }
        if batch == nil { batch = Batch.creating(record) } else { try batch?.apply(record) }
        guard let began = from, var late = batch, late.status == .running else { continue }
        from = nil
        taken += 1
        #expect(late.timeoutFrom == began, "\(journal.name)")
        // Whoever takes it over a moment after its time, ends it for that.
        late.specification.timeout = late.updatedAt - began + .seconds(1)
        let decided = Continuation.facts(of: late, at: late.updatedAt + .seconds(2))
        #expect(decided.contains { $0.isEnd(for: .batchTimeout) }, "\(journal.name) at \(late.sequence): \(decided)")
      }
    }
    #expect(taken > 0)
  }

  @Test("Each record is written as it was, or as README.md says", arguments: archives)
  func bytes(_ name: String) throws {
    var changed: [String] = []
    var kinds: Set<String> = []
    for journal in try archive.journals(name) {
      for bytes in try journal.records {
        let record = try RecordForms.record(bytes, of: journal.key)
        let now = RecordForms.bytes(record)
        if now.elementsEqual(bytes) { continue }
        #expect(
          try RecordForms.record(now[...], of: journal.key) == record, "\(journal.name), record \(record.sequence)")
        changed.append("\(journal.name) \(record.sequence) \(Data(now).base64EncodedString())")
        kinds.insert(Self.kind(of: record.fact))
      }
    }
    #expect(kinds.isSubset(of: Self.writtenOtherwise), "\(kinds.subtracting(Self.writtenOtherwise))")
    try GoldenText(name: "\(name).rewritten", in: archive).compare(changed)
  }

  /// Facts that this version writes with a field more than the first release, or as another fact.
  static let writtenOtherwise: Set<String> = [
    "batchCreated", "documentsFailed", "healed", "retried", "tierCancelRequested",
  ]

  private static func kind(of fact: Fact) -> String {
    String("\(fact)".prefix { $0 != "(" })
  }

  @Test("Each export is read, and made again to the letter", arguments: archives)
  func exports(_ name: String) throws {
    var histories: [[String]] = []
    for line in try archive.lines(of: "\(name).jsonl") {
      if line.hasPrefix(#"{"format":"#) { histories.append([]) }
      histories[histories.count - 1].append(line)
    }
    let journals = try archive.journals(name)
    #expect(histories.count == journals.count)
    let directory = try TemporaryDirectory()
    let file = URL(filePath: directory.path + "/export.jsonl")
    var changed: [String] = []
    for (journal, lines) in zip(journals, histories) {
      try lines.joined(separator: "\n").write(to: file, atomically: false, encoding: .utf8)
      let read = try RecordForms.exported(at: file.path)
      let records = try journal.records.map { try RecordForms.record($0, of: journal.key) }
      #expect(read.key == journal.key)
      #expect(read.records == records.map(\.withoutSecrets), "\(journal.name)")
      for (record, line) in zip(records, lines.dropFirst()) {
        let now = try RecordForms.line(record)
        if now != line { changed.append("\(journal.name) \(now)") }
      }
    }
    try GoldenText(name: "\(name).reexported", in: archive).compare(changed)
  }
}

extension Fact {
  fileprivate func isEnd(for reason: EndReason) -> Bool {
    switch self {
    case .attemptEnding(let ending): ending.reason == reason
    case .batchStatusChanged(let changed): changed.status == .failed
    default: false
    }
  }

  fileprivate func isRetry(by initiative: Initiative) -> Bool {
    if case .retried(let retried) = self { retried.by == initiative } else { false }
  }
}
