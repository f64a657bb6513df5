import ArgumentParser
import MendAPI
import MendClient

struct Watch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Follows a batch to its end.",
    discussion: """
      On a terminal it is a live view. With -o jsonl it is a line a message, the last one with "terminal": true; a watch \
      that broke off is taken up by --after with the last line's sequence. Exits 0 once the batch is over, however it \
      ended.

      EXAMPLES
        mend watch BATCH
        mend watch BATCH -o jsonl --after 1207
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(help: ArgumentHelp("Go on behind this message.", valueName: "SEQ"))
  var after: UInt64 = 0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The shortest time between two messages with counts only.", valueName: "seconds"))
  var interval: Double?

  func run() async throws {
    try await client.withClient { client in
      var view = WatchView(batch: batch)
      do {
        for try await message in client.watch(batch, afterSequence: after, minimumInterval: interval) {
          switch format.output {
          case .table: view.show(message)
          case .json, .jsonl: try Format.jsonl.print(message) { _ in "" }
          }
        }
      } catch {
        view.end()
        throw error
      }
      view.end()
    }
  }
}

/// The live view: drawn over itself on a terminal, a line a change elsewhere.
struct WatchView {
  private let batch: String
  private var tiers: [Int32: TierProgress] = [:]
  private var changes: [StateChange] = []
  private var linesDrawn = 0
  private var plain = ProgressLine()
  private static let changesShown = 6

  init(batch: String) { self.batch = batch }

  mutating func show(_ message: WatchProgressResponse) {
    guard Standard.isOutputTerminal else {
      for change in message.changes { Standard.output(Self.line(change) + "\n") }
      Standard.output(ProgressLine.text(of: message) + "\n")
      return
    }
    if message.snapshot { tiers = [:] }
    for tier in message.tiers { tiers[tier.tierNum] = tier }
    changes = (changes + message.changes).suffix(Self.changesShown)
    draw(message)
  }

  mutating func end() { linesDrawn = 0 }

  private mutating func draw(_ message: WatchProgressResponse) {
    var lines = ["\(batch)  \(ProgressLine.text(of: message))"]
    for tier in tiers.values.sorted(by: { $0.tierNum < $1.tierNum }) {
      var line = "  tier \(tier.tierNum)  \(Wording.bar(tier.percentage, width: 30))  "
      line += "\(tier.processedDocuments)/\(tier.totalDocuments)  \(Wording.name(tier.status))"
      if tier.failedDocuments > 0 { line += "  \(tier.failedDocuments) failed" }
      lines.append(line)
    }
    if message.health != .ok, message.healthReason != .none, message.healthReason != .unspecified {
      lines.append("  \(Wording.name(message.health)): \(Wording.name(message.healthReason))")
    }
    lines += changes.map { "  " + Self.line($0) }
    // Up to where the last picture began, and each line cleared before it is written.
    var text = linesDrawn > 0 ? "\u{1B}[\(linesDrawn)A\r" : ""
    let width = Standard.columns - 1
    for line in lines { text += "\u{1B}[2K" + line.clipped(to: width) + "\n" }
    text += "\u{1B}[J"
    linesDrawn = lines.count
    Standard.output(text)
  }

  private static func line(_ change: StateChange) -> String {
    let reason = change.reason.isEmpty ? "" : " (\(change.reason))"
    let from = change.from.isEmpty ? "" : "\(change.from) → "
    return "\(Wording.time(change.at).suffix(8))  \(change.subject): \(from)\(change.to)\(reason)".clipped(to: 1000)
      .printable
  }
}
