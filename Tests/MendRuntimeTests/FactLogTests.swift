import Logging
import MendCore
import TestSupport
import Testing

@testable import MendRuntime

@Suite("The server's log of facts")
struct FactLogTests {
  private struct Lines: LogHandler {
    let seen = Seen<String>()
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { seen.add(event.message.description) }
  }

  private func lines(_ facts: Fact...) -> [String] {
    let lines = Lines()
    let log = FactLog(logger: Logger(label: "test") { _ in lines })
    log.write(
      facts.map { fact in
        .record(
          Record(
            batch: BatchKey(namespace: "n", batchID: "b"), sequence: 7, at: Instant(milliseconds: 1_000_000),
            cause: .worker, fact: fact))
      })
    return lines.seen.all
  }

  private let job = JobID(tier: 0, index: 0)

  private func failed(_ message: String) -> Fact {
    let failure = Job.Failure(cause: .exitCode, confidence: .high, message: message)
    return .jobStatusChanged(.init(job, .failed, failure: failure, reason: "exit_code"))
  }

  @Test("what a program said is told once, and no terminal obeys it")
  func escaped() {
    let said = "it exited with code 1: \u{1B}]0;title\u{7}red\r\n[info] forged \u{9B}1A\u{202E}\u{2028}ü"
    let shown = "it exited with code 1: \\u001b]0;title\\u0007red\\r\\n[info] forged \\u009b1A\\u202e\\u2028ü"
    #expect(
      lines(
        failed(said), .tierStatusChanged(.init(tier: 0, .failed, reason: "job t0-j0 failed: \(said)")),
        .batchStatusChanged(.init(.failed, reason: "tier 0 failed")))
        == ["t0-j0: job failed: exit_code (confidence high): \(shown)", "tier 0 failed", "batch failed: tier 0 failed"])
  }

  @Test("of what a program said there is an excerpt")
  func excerpt() throws {
    let line = try #require(lines(failed(String(repeating: "x", count: 100_000))).first)
    #expect(line.count <= 240 && line.hasSuffix("x…"))
  }

  @Test("a tier says why it is not failed")
  func reasons() {
    #expect(
      lines(.tierStatusChanged(.init(tier: 1, .cancelled, reason: "cancelled by the caller")))
        == ["tier 1 cancelled: cancelled by the caller"])
  }
}
