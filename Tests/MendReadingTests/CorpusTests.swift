import Foundation
import MendCore
import MendProtobuf
import Testing

@testable import MendReading

/// Tests/Truth/corpus: real failures of real programs, each with what is true of it.
@Suite("The corpus of real failures")
struct CorpusTests {
  @Test("is read as an operator would read it: macro-F1 of 0.98 over reasons, and nothing confident and wrong")
  func read() throws {
    let samples = try Self.samples()
    #expect(samples.count > 200)
    let reader = FailureReader()
    var scores: [String: Score] = [:]
    for sample in samples {
      let reading = reader.read(sample.failure)
      if reading.reason == sample.reason {
        scores[sample.reason, default: Score()].right += 1
        continue
      }
      scores[sample.reason, default: Score()].missed += 1
      scores[reading.reason, default: Score()].wrong += 1
      let found =
        "\(sample.id): \(reading.reason) (\(reading.confidence)) and not \(sample.reason), by '\(reading.line?.text ?? "")'"
      print(found)
      #expect(reading.cause.rawValue == sample.cause || reading.confidence == .low, "\(found)")
    }
    let known = scores.filter { $0.value.right + $0.value.missed > 0 }
    let mean = known.values.reduce(0) { $0 + $1.f1 } / Double(max(1, known.count))
    print("macro-F1 \(mean) over \(known.count) reasons of \(samples.count) failures")
    #expect(mean >= 0.98)
  }

  private struct Score {
    var right = 0
    var wrong = 0
    var missed = 0
    var f1: Double { Double(2 * right) / Double(2 * right + wrong + missed) }
  }

  private struct Sample {
    var id: String
    var failure: Failure
    var cause: String
    var reason: String

    init?(_ line: some StringProtocol) {
      guard let value = try? JSONValue(parsing: String(line)) else { return nil }
      id = value["id"]?.text ?? ""
      cause = value["truth"]?["cause"]?.text ?? ""
      reason = value["truth"]?["reason"]?.text ?? ""
      let document = value["document"]?.text ?? ""
      let names = [document, String(document.split(separator: "/").last ?? "")].filter { !$0.isEmpty }
      let code = value["exit"]?["code"]?.number
      let signal = value["exit"]?["signal"].flatMap { $0.number ?? Self.signals[$0.text] }
      failure = Failure(
        exit: signal.map { .signal($0) } ?? code.map { .code($0) },
        stderr: OutputTail(value["stderr"]?.text ?? "").lines, stdout: OutputTail(value["stdout"]?.text ?? "").lines,
        names: names)
    }

    private static let signals: [String: Int32] = [
      "SIGILL": 4, "SIGTRAP": 5, "SIGABRT": 6, "SIGBUS": 7, "SIGFPE": 8, "SIGKILL": 9, "SIGSEGV": 11, "SIGPIPE": 13,
      "SIGTERM": 15, "SIGXCPU": 24, "SIGXFSZ": 25,
    ]
  }

  private static func samples() throws -> [Sample] {
    let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Truth/corpus")
    let files = try FileManager.default.contentsOfDirectory(atPath: directory.standardizedFileURL.path)
    return try files.sorted().filter { $0.hasSuffix(".jsonl") }.flatMap { name in
      try String(contentsOf: directory.appending(path: name), encoding: .utf8).split(separator: "\n")
        .compactMap { Sample($0) }
    }
  }
}

extension JSONValue {
  fileprivate var text: String { if case .string(let text) = self { text } else { "" } }
  fileprivate var number: Int32? { if case .integer(let number) = self { Int32(clamping: number) } else { nil } }
}
