import MendAPI
import MendClient

/// Implements `--wait`: shows a batch's progress on stderr until it is over.
enum BatchWait {
  /// Returns when every document was completed.
  ///
  /// - Throws: `ProgramError` with one line that says what to do next.
  static func run(_ batchID: String, _ client: MendClient) async throws {
    let last = try await withThrowingTaskGroup(of: WatchProgressResponse?.self) { group in
      group.addTask { try await follow(batchID, client) }
      group.addTask {
        await TerminationSignals().wait()
        return nil
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
    guard let last else {
      throw ProgramError(
        .refused, "batch \(batchID) continues without this wait: mend watch \(batchID), mend cancel \(batchID)")
    }
    let failed = last.progress?.failed ?? 0
    if last.status == .completed, failed == 0 { return }
    let outcome = Wording.name(last.status).uppercased()
    let what = failed > 0 ? "\(outcome) with \(Wording.count(failed, "failed document"))" : outcome
    let next =
      last.status == .cancelled ? "mend retry \(batchID) --tier \(last.currentTier)" : "mend diagnose \(batchID)"
    throw ProgramError(.refused, "batch \(batchID) is \(what): \(next)")
  }

  /// Shows the progress until the batch is over; returns its last message.
  private static func follow(_ batchID: String, _ client: MendClient) async throws -> WatchProgressResponse {
    var line = ProgressLine()
    defer { line.end() }
    var last = WatchProgressResponse()
    let outage = WatchOutage()
    let messages = client.watch(
      batchID, minimumInterval: Standard.isErrorTerminal ? 0.2 : 1, onInterruption: { outage.began($0) })
    for try await message in messages {
      if outage.ended() { line = ProgressLine() }
      last = message
      line.show(message)
    }
    return last
  }
}

/// Progress on stderr: on a terminal one line that is overwritten, elsewhere one line for each change.
struct ProgressLine {
  private var shown = ""

  mutating func show(_ message: WatchProgressResponse) {
    let text = Self.text(of: message)
    guard text != shown else { return }
    if Standard.isErrorTerminal {
      Standard.error("\r\u{1B}[K" + text.clipped(to: Standard.columns - 1))
    } else {
      Standard.error(text + "\n")
    }
    shown = text
  }

  mutating func end() {
    if Standard.isErrorTerminal, !shown.isEmpty { Standard.error("\n") }
    shown = ""
  }

  /// `running  tier 0 (1 of 2)  63 %  188 of 300 done, 2 failed, 4 in process`
  static func text(of message: WatchProgressResponse) -> String {
    var parts = [Wording.name(message.status)]
    if message.totalTiers > 0 {
      parts.append("tier \(message.currentTier) (\(Int(message.currentTier) + 1) of \(message.totalTiers))")
    }
    parts.append(Wording.percentage(message.overallProgress))
    if let progress = message.progress {
      var counts = "\(progress.completed) of \(progress.total) done"
      if progress.failed > 0 { counts += ", \(progress.failed) failed" }
      if progress.processing > 0 { counts += ", \(progress.processing) in process" }
      parts.append(counts)
    }
    if message.health == .stuck || message.health == .degraded || message.health == .scaling {
      parts.append(Wording.name(message.health))
    }
    return parts.joined(separator: "  ")
  }
}
