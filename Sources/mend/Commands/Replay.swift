import ArgumentParser
import MendCore
import MendProtobuf
import MendServer

struct Replay: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Applies this version's rules to an exported history and shows where they decide differently. Needs no server.",
    discussion: """
      Each line is a moment at which a verdict was recorded, with the verdict then and the verdict now. With --all, moments \
      without a difference are shown too. With --check, the exit status is 1 if there is a difference.

      EXAMPLES
        mend history BATCH --export incident.jsonl
        mend replay incident.jsonl
        mend replay incident.jsonl --all -o json
      """)

  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("A file that mend history --export wrote; - is stdin.", valueName: "FILE"))
  var file: String

  @Flag(help: "Show moments without a difference, too.")
  var all = false

  @Flag(help: "Exit with status 1 if there is a difference.")
  var check = false

  func run() async throws {
    let history = try HistoryFile(path: file)
    let points: [MendCore.Replay.Point]
    do throws(RecordFault) {
      points = try MendCore.Replay.points(of: history.records, capacity: history.capacity) ?? []
    } catch {
      throw ProgramError.usage("\(file) is not the history of a batch: \(error); export it again")
    }
    let differences = points.count { $0.differs }
    let shown = points.filter { all || $0.differs }
    switch format.output {
    case .table: Standard.output(Self.table(shown, history, points.count, differences).printable)
    case .json:
      var document = JSONObject()
      document["batch_id"] = .string(history.key.batchID)
      document["written_by"] = .string(history.writtenBy)
      document["replayed_by"] = .string(Mend.version)
      document["records"] = .integer(Int64(history.records.count))
      document["verdicts"] = .integer(Int64(points.count))
      document["differences"] = .integer(Int64(differences))
      document["points"] = .array(shown.map { Self.json($0, history.key.batchID) })
      Standard.output(JSONValue.object(document).pretty() + "\n")
    case .jsonl: for point in shown { Standard.output(Self.json(point, history.key.batchID).compact() + "\n") }
    }
    if check, differences > 0 { throw ExitCode(ExitStatus.refused.rawValue) }
  }

  private static func table(
    _ points: [MendCore.Replay.Point], _ history: HistoryFile, _ verdicts: Int, _ differences: Int
  ) -> String {
    var text =
      "\(history.key.batchID): \(history.records.count) records written by \(history.writtenBy), "
      + "\(verdicts) verdicts compared, \(differences) differ\n"
    guard !points.isEmpty else { return text }
    var table = Table(
      ("SEQ", .right), ("AT (UTC)", .left), ("", .left), ("HEALTH", .left), ("CAUSES AND REMEDIES", .left))
    func causes(_ summary: DiagnosisSummary) -> String { Self.causes(summary, history.key.batchID) }
    for point in points {
      let time = RFC3339.text(seconds: point.at.milliseconds / 1000, nanos: 0) ?? ""
      let now = point.differs ? "now" : "both"
      if point.differs { table.add(String(point.sequence), time, "then", health(point.then), causes(point.then)) }
      table.add(
        point.differs ? "" : String(point.sequence), point.differs ? "" : time, now, health(point.now),
        causes(point.now))
    }
    text += "\n" + table.text()
    return text
  }

  private static func health(_ summary: DiagnosisSummary) -> String {
    summary.reason == .none ? summary.health.rawValue : "\(summary.health.rawValue) (\(summary.reason.rawValue))"
  }

  private static func causes(_ summary: DiagnosisSummary, _ batchID: String) -> String {
    summary.causes.map { cause in
      let place = cause.job.map { "\($0): " } ?? ""
      let remedy = cause.commandLine(batchID: batchID)
      return "\(place)\(cause.cause) (\(cause.confidence.rawValue))\(remedy.isEmpty ? "" : " -> \(remedy)")"
    }.joined(separator: "; ")
  }

  private static func json(_ point: MendCore.Replay.Point, _ batchID: String) -> JSONValue {
    var object = JSONObject()
    object["sequence"] = .integer(Int64(clamping: point.sequence))
    object["at"] = .string(
      RFC3339.text(
        seconds: point.at.milliseconds / 1000, nanos: point.at.milliseconds % 1000 * 1_000_000) ?? "")
    object["differs"] = .bool(point.differs)
    object["then"] = json(point.then, batchID)
    object["now"] = json(point.now, batchID)
    return .object(object)
  }

  private static func json(_ summary: DiagnosisSummary, _ batchID: String) -> JSONValue {
    var object = JSONObject()
    object["health"] = .string(summary.health.rawValue)
    object["health_reason"] = .string(summary.reason.rawValue)
    object["causes"] = .array(
      summary.causes.map { cause in
        var entry = JSONObject()
        if let category = cause.category { entry["category"] = .string(category.rawValue) }
        entry["cause"] = .string(cause.cause.rawValue)
        entry["confidence"] = .string(cause.confidence.rawValue)
        if let job = cause.job { entry["job_id"] = .string(job.description) }
        entry["remedy"] = .string(cause.commandLine(batchID: batchID))
        return .object(entry)
      })
    return .object(object)
  }
}
