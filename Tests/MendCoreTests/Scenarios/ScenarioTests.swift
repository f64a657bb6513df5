import Foundation
import MendCore
import Testing

/// Tests/Scenarios, one file a rule: `MEND_REWRITE_SCENARIOS=1` writes what the core says now in the place of what was
/// expected, for a look at the difference.
@Suite("Scenarios")
struct ScenarioTests {
  private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Scenarios").standardizedFileURL

  static let files: [String] =
    (try? FileManager.default.contentsOfDirectory(atPath: directory.path))?.filter { $0.hasSuffix(".txt") }.sorted()
    ?? []

  @Test("goes as it is written", arguments: files)
  func scenario(_ file: String) throws {
    let url = Self.directory.appending(path: file)
    let written = try String(contentsOf: url, encoding: .utf8)
    let script = ScenarioScript(written)
    let played = try script.played()
    if ProcessInfo.processInfo.environment["MEND_REWRITE_SCENARIOS"] == "1" {
      if played.text != written { try played.text.write(to: url, atomically: true, encoding: .utf8) }
      return
    }
    for (expected, said) in zip(script.parts, played.parts) {
      guard case .block(let directive, let before) = expected, case .block(_, let now) = said else { continue }
      #expect(
        before == now,
        "\(file): \(directive.joined(separator: "\n"))\n---- written\n\(before.joined(separator: "\n"))\n---- said\n\(now.joined(separator: "\n"))"
      )
    }
    // The file's form itself, so that a rewrite changes nothing but what was said.
    #expect(script.text == written, "\(file) is not in the form that a rewrite gives it")
  }

  /// What the scenarios say, without what is asked in them.
  private static let transcripts: String = {
    files.compactMap { try? String(contentsOf: directory.appending(path: $0), encoding: .utf8) }.joined(separator: "\n")
  }()

  @Test("Every cause of a failure ends an attempt or a document in one of them", arguments: FailureCause.allCases)
  func causes(_ cause: FailureCause) {
    let ofAttempt = "\(cause.category.rawValue) \(cause.rawValue) ("
    #expect(Self.transcripts.contains(ofAttempt) || Self.transcripts.contains(":\(cause.rawValue)\n"))
  }

  @Test("A transcript that says something else is found")
  func findsDifferences() throws {
    let script = ScenarioScript("capacity cpus=1\n\nbatch b documents=1\n  tier text\n----\nsomething else\n")
    let played = try script.played()
    #expect(played.text != script.text)
    #expect(played.text.contains("created b"))
  }
}
