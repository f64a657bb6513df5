import Glibc

/// Says on stderr once a second how it goes, in one line on a terminal.
struct Progress: Sendable {
  let state: RunState

  /// Until the task is cancelled.
  func run() async {
    let isTerminal = isatty(STDERR_FILENO) == 1
    var before = 0
    while true {
      do { try await Task.sleep(for: .seconds(1)) } catch { break }
      let done = state.done
      let text = "\(done) calls, \(done - before) in the last second"
      Self.write(isTerminal ? "\r\u{1B}[K\(text)" : text + "\n")
      before = done
    }
    if isTerminal, before > 0 { Self.write("\n") }
  }

  private static func write(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
