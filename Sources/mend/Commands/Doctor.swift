import ArgumentParser
import Foundation
import MendCore
import MendProtobuf
import MendRuntime
import MendStore

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Examines a data directory's journal without a server, and lists batches that cannot be read.",
    discussion: """
      A server sets a batch aside if it cannot read the batch's journal, or if it crashed over the batch twice; it serves \
      all others. This command lists such batches, with the record and the reason. It changes nothing unless you ask it to. \
      The server must be stopped. The exit status is 1 if something is wrong: a batch that cannot be read, one that a \
      server set aside by itself, or a fault of the file. A batch that you set aside with --set-aside is none of these.

      --set-aside: the server starts, ends and answers nothing of the batch, and leaves its running processes alone. \
      --bring-back: the next server tries the batch again, with a journal from a backup or with a later version. \
      --accept-loss: continue with a journal that is incomplete because its write-ahead log was removed or cut. \
      --rebuild: make a journal of all that can be read, if a server cannot read or change some pages. Incomplete batches \
      are set aside in it. The damaged files are kept in a directory beside it.

      EXAMPLES
        mend doctor --data /var/lib/mend
        mend doctor --data /var/lib/mend --set-aside reports/batch-1ffd81e26b2c
        mend doctor --data /var/lib/mend --bring-back batch-1ffd81e26b2c
        mend doctor --data /var/lib/mend --rebuild
      """)

  @OptionGroup var format: OutputOptions

  @Option(help: ArgumentHelp("The data directory of mend serve.", valueName: "DIR"))
  var data: String

  @Option(help: ArgumentHelp("A batch that the server is to leave alone.", valueName: "[NAMESPACE/]BATCH"))
  var setAside: String?

  @Option(help: ArgumentHelp("A batch that the next server is to try again.", valueName: "[NAMESPACE/]BATCH"))
  var bringBack: String?

  @Flag(help: "Continue with a journal that lost its end. What is missing is lost for good.")
  var acceptLoss = false

  @Flag(help: "Make a journal of all that can be read, and put it in place; the damaged files are kept beside it.")
  var rebuild = false

  // Of a process that examines for another one.
  @Option(help: .hidden) var crashNote: String?
  @Option(help: .hidden) var crashedOver: [String] = []

  func validate() throws {
    let orders = [setAside != nil, bringBack != nil, acceptLoss, rebuild].count { $0 }
    guard orders <= 1 else {
      throw ValidationError("Give one of --set-aside, --bring-back, --accept-loss and --rebuild.")
    }
    for name in [setAside, bringBack].compactMap(\.self) { _ = try Self.key(name) }
  }

  func run() throws {
    let reads = setAside == nil && bringBack == nil && !acceptLoss
    if reads, crashNote == nil {
      let status = try ExaminingProcess.run()
      if status != 0 { throw ExitCode(status) }
      return
    }
    let directory = FileDocuments.absolutePath(data, in: FileDocuments.currentDirectory())
    var report: JournalDoctor.Report?
    do throws(StoreError) {
      let doctor = try JournalDoctor(
        directory: directory, version: Mend.version, note: crashNote.flatMap { CrashFile(path: $0) },
        crashedOver: ExaminingProcess.batches(crashedOver))
      if try !change(doctor) { report = try doctor.examine() }
    } catch {
      throw ProgramError(.refused, error.message)
    }
    guard let report else { return }
    print(report)
    if !report.isWell { throw ExitCode(ExitStatus.refused.rawValue) }
  }

  /// True if the command was asked to change something.
  private func change(_ doctor: JournalDoctor) throws(StoreError) -> Bool {
    if acceptLoss {
      try doctor.acceptLoss()
      Standard.output("the next server continues with what the journal has\n")
      return true
    }
    if rebuild {
      print(try doctor.rebuild(at: Self.now))
      return true
    }
    guard let name = setAside ?? bringBack, let key = try? Self.key(name) else { return false }
    if setAside != nil {
      guard try doctor.setAside(key, at: Self.now, reason: "an administrator set it aside") else {
        throw StoreError(operation: "set aside", message: "there is no batch \(key.namespace)/\(key.batchID)")
      }
      Standard.output("\(key.namespace)/\(key.batchID) is set aside\n")
    } else {
      guard try doctor.bringBack(key) else {
        throw StoreError(
          operation: "bring back",
          message: "\(key.namespace)/\(key.batchID) was not set aside by anybody; a server tries it again at each start"
        )
      }
      Standard.output("\(key.namespace)/\(key.batchID) will be served again by the next server\n")
    }
    return true
  }

  private static var now: Instant { Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

  /// Parses `BATCH` (of the namespace default) or `NAMESPACE/BATCH`.
  private static func key(_ text: String) throws -> BatchKey {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let names = parts.count == 1 ? ["default"] + parts : parts
    guard names.count == 2, names.allSatisfy(Identifier.isValid) else {
      throw ValidationError("'\(text)' is not [NAMESPACE/]BATCH.")
    }
    return BatchKey(namespace: names[0], batchID: names[1])
  }

  private func print(_ report: JournalDoctor.Report) {
    switch format.output {
    case .table: Standard.output(Self.text(report).printable)
    case .json: Standard.output(Self.json(report).pretty() + "\n")
    case .jsonl: Standard.output(Self.json(report).compact() + "\n")
    }
  }

  private func print(_ rebuilding: JournalDoctor.Rebuilding) {
    guard format.output == .table else {
      var document = JSONObject()
      document["batches"] = .integer(Int64(rebuilding.batches))
      document["rows"] = .integer(Int64(rebuilding.rows))
      document["set_aside"] = .array(rebuilding.setAside.map(Self.json))
      document["faults"] = .array(rebuilding.faults.map { .string($0) })
      document["kept"] = .string(rebuilding.kept)
      let value = JSONValue.object(document)
      Standard.output(format.output == .json ? value.pretty() + "\n" : value.compact() + "\n")
      return
    }
    var text = "the journal was made anew of \(rebuilding.batches) batches and \(rebuilding.rows) rows\n"
    if !rebuilding.setAside.isEmpty {
      var table = Table(("BATCH", .left), ("RECORD", .right), ("WHY IT IS SET ASIDE", .left))
      for aside in rebuilding.setAside {
        table.add(Self.name(aside), aside.sequence.map { "\($0)" } ?? "", aside.reason.clipped(to: 200))
      }
      text += "\n" + table.text()
    }
    for fault in rebuilding.faults { text += "\n" + fault + "\n" }
    text += "\nThe damaged files are in \(rebuilding.kept); remove them when they are not needed.\n"
    Standard.output(text.printable)
  }

  private static func text(_ report: JournalDoctor.Report) -> String {
    var text =
      "\(report.path): \(counted(report.batches)), \(report.records) records, \(Self.summary(report))\n"
    if !report.damaged.isEmpty || !report.setAside.isEmpty {
      var table = Table(("BATCH", .left), ("RECORD", .right), ("", .left), ("WHY", .left))
      for aside in report.damaged {
        table.add(name(aside), aside.sequence.map { "\($0)" } ?? "", "damaged", aside.reason.clipped(to: 200))
      }
      for aside in report.setAside {
        table.add(name(aside), "", "set aside", aside.reason.clipped(to: 200))
      }
      text += "\n" + table.text()
    }
    for fault in report.faults { text += "\n" + fault + "\n" }
    if !report.damaged.isEmpty || !report.faults.isEmpty {
      text += """

        Restore journal.sqlite and its companion files from a backup. Without one, a server serves what can be read; if it \
        does not start, or refuses changes, mend doctor --rebuild makes a journal of that.

        """
    }
    return text
  }

  /// `1 batch cannot be read, 2 batches set aside`.
  private static func summary(_ report: JournalDoctor.Report) -> String {
    var parts: [String] = []
    if !report.damaged.isEmpty { parts.append("\(counted(report.damaged.count)) cannot be read") }
    if !report.setAside.isEmpty { parts.append("\(counted(report.setAside.count)) set aside") }
    if report.damaged.isEmpty, report.faults.isEmpty { parts.insert("all of them intact", at: 0) }
    if !report.faults.isEmpty {
      parts.append(report.faults.count == 1 ? "1 fault of the file" : "\(report.faults.count) faults of the file")
    }
    return parts.joined(separator: ", ")
  }

  private static func counted(_ batches: Int) -> String { Figures.count(batches, "batch", plural: "batches") }

  private static func name(_ aside: SetAside) -> String { "\(aside.batch.namespace)/\(aside.batch.batchID)" }

  private static func json(_ report: JournalDoctor.Report) -> JSONValue {
    var document = JSONObject()
    document["journal"] = .string(report.path)
    document["batches"] = .integer(Int64(report.batches))
    document["records"] = .integer(Int64(report.records))
    document["damaged"] = .array(report.damaged.map(json))
    document["set_aside"] = .array(report.setAside.map(json))
    document["faults"] = .array(report.faults.map { .string($0) })
    return .object(document)
  }

  private static func json(_ aside: SetAside) -> JSONValue {
    var entry = JSONObject()
    entry["namespace"] = .string(aside.batch.namespace)
    entry["batch_id"] = .string(aside.batch.batchID)
    if let sequence = aside.sequence { entry["sequence"] = .integer(Int64(clamping: sequence)) }
    entry["ground"] = .string(aside.ground.rawValue)
    entry["reason"] = .string(aside.reason)
    return .object(entry)
  }
}
