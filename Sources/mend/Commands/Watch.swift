import ArgumentParser
import MendAPI
import MendClient
import Synchronization

struct Watch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Follows a batch to its end.",
    discussion: """
      On a terminal this is a live view. With -o jsonl each message is one line, and the last one has "terminal": true; \
      with -o json they are the list "messages" of one document, which is complete when the batch is over. \
      To resume a watch that broke off, give --after with the last line's sequence. The exit status is 0 once the batch is \
      over, however it ended.

      EXAMPLES
        mend watch BATCH
        mend watch BATCH -o jsonl --after 1207
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(help: ArgumentHelp("Resume after this sequence number.", valueName: "SEQ"))
  var after: UInt64 = 0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The shortest time between two messages that carry only counts.", valueName: "seconds"))
  var interval: Double?

  func run() async throws {
    try await client.withClient { client in
      let outage = WatchOutage()
      var view = WatchView(batch: batch)
      var list = JSONList("messages", of: batch)
      do {
        let messages = client.watch(
          batch, afterSequence: after, minimumInterval: interval, onInterruption: { outage.began($0) })
        for try await message in messages {
          if outage.ended() { view.end() }
          switch format.output {
          case .table: view.show(message)
          case .json: Standard.output(list.element(try Format.json(of: message)))
          case .jsonl: try Format.jsonl.print(message) { _ in "" }
          }
        }
      } catch {
        view.end()
        throw error
      }
      view.end()
      if format.output == .json { Standard.output(list.end()) }
    }
  }
}

/// The live view: on a terminal it redraws itself, elsewhere it prints one line for each change.
struct WatchView {
  private let batch: String
  private var tiers: [Int32: TierProgress] = [:]
  private var changes: [StateChange] = []
  private var linesDrawn = 0
  private var width = 0
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
    let (text, count) = Self.picture(lines, over: linesDrawn, width: Standard.columns, before: width)
    (linesDrawn, width) = (count, Standard.columns)
    Standard.output(text)
  }

  /// Draws the lines over the previous ones, and returns how many they are. If the terminal's width has changed, it has
  /// re-wrapped the previous lines and their start is unknown, so the screen is cleared.
  static func picture(_ lines: [String], over drawn: Int, width: Int, before: Int) -> (text: String, lines: Int) {
    var text = ""
    if drawn > 0 {
      // Move up to the start of the last view, and clear each line before writing it.
      text = width == before ? "\u{1B}[\(drawn)A\r" : "\u{1B}[2J\u{1B}[H"
    }
    for line in lines { text += "\u{1B}[2K" + line.clipped(to: width - 1) + "\n" }
    return (text + "\u{1B}[J", lines.count)
  }

  private static func line(_ change: StateChange) -> String {
    let reason = change.reason.isEmpty ? "" : " (\(change.reason))"
    let from = change.from.isEmpty ? "" : "\(change.from) → "
    return "\(Wording.time(change.at).suffix(8))  \(change.subject): \(from)\(change.to)\(reason)".clipped(to: 1000)
      .printable
  }
}

/// Prints once, on stderr, that the server does not answer, while a watch waits for it.
final class WatchOutage: Sendable {
  private let isAway = Mutex(false)

  func began(_ error: MendError) {
    let isNew = isAway.withLock { away in
      defer { away = true }
      return !away
    }
    guard isNew else { return }
    let start = Standard.isErrorTerminal ? "\r\u{1B}[K" : ""
    Standard.error("\(start)mend: the server does not answer (\(error.message.escaped)); waiting for it\n")
  }

  /// A message arrived; true if that ends an outage.
  func ended() -> Bool {
    isAway.withLock { away in
      defer { away = false }
      return away
    }
  }
}
