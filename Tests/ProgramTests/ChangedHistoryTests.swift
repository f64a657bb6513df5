import Foundation
import MendCore
import MendProtobuf
import TestSupport
import Testing

@testable import mend

/// An exported history comes from outside, and anybody may have changed it: whatever a number in it says, it is replayed or
/// refused, soon.
@Suite("Changed histories", .timeLimit(.minutes(5)))
struct ChangedHistoryTests {
  private typealias Path = [Step]

  private enum Step: Hashable {
    case member(String)
    case element(Int)
  }

  private static let numbers = [
    "0", "-1", "1", "2147483647", "-2147483648", "4294967295", "9007199254740993", "72057594037927937",
    "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e300", "-1e300", "0.5",
  ]

  private static func history(_ name: String = "incident") throws -> [String] {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Histories/\(name).jsonl")
    return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
  }

  @Test("What earlier versions wrote is read as it was meant: who caused it, and why an attempt ended")
  func earlier() throws {
    for name in ["incident", "paused"] { #expect(try Self.replay(try Self.history(name)) > 0) }
    let history = try Self.read(try Self.history("paused"))
    #expect(Set(history.records.map(\.cause)) == [.caller, .worker, .executor, .diagnosis])
    let batch = try #require(try Batch.folding(history.records))
    #expect(batch.status == .completed && batch.failedDocuments.count == 1)
    #expect(batch.tiers[0].jobs[0].attempts.map { $0.end?.endedFor } == [.paused, nil, nil])
  }

  @Test("Each kind of number is changed to what nobody would write")
  func everyNumber() throws {
    let lines = try Self.history()
    #expect(try Self.replay(lines) > 0)
    var seen: Set<[String]> = []
    var replayed = 0
    var refused = 0
    for (index, line) in lines.enumerated() {
      let value = try JSONValue(parsing: line)
      for path in Self.numbers(in: value) {
        // One of a kind is enough: the same field of the same fact, wherever it stands in a list.
        guard seen.insert(path.map { if case .member(let name) = $0 { name } else { "[]" } }).inserted else { continue }
        for number in Self.numbers {
          var changed = lines
          changed[index] = Self.replacing(path[...], in: value, by: try JSONValue(parsing: number)).compact()
          let start = ContinuousClock.now
          do {
            _ = try Self.replay(changed)
            replayed += 1
          } catch is ProgramError {
            refused += 1
          }
          #expect(ContinuousClock.now - start < .seconds(10), "line \(index + 1), \(path), \(number)")
        }
      }
    }
    print("changed histories: \(seen.count) kinds of number, \(replayed) replayed, \(refused) refused")
    #expect(seen.count > 60 && replayed > 100 && refused > 100)
  }

  /// How many verdicts were looked at.
  private static func replay(_ lines: [String]) throws -> Int {
    let history = try read(lines)
    do throws(RecordFault) {
      return try MendCore.Replay.points(of: history.records, capacity: history.capacity)?.count ?? 0
    } catch {
      // As the command has it.
      throw ProgramError.usage("\(error)")
    }
  }

  private static func read(_ lines: [String]) throws -> HistoryFile {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/history"
    try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: false, encoding: .utf8)
    return try HistoryFile(path: path)
  }

  private static func numbers(in value: JSONValue) -> [Path] {
    switch value {
    case .integer, .unsigned, .number: [[]]
    case .array(let values):
      values.enumerated().flatMap { index, value in numbers(in: value).map { [.element(index)] + $0 } }
    case .object(let object):
      object.members.flatMap { member in numbers(in: member.value).map { [.member(member.name)] + $0 } }
    default: []
    }
  }

  private static func replacing(_ path: ArraySlice<Step>, in value: JSONValue, by new: JSONValue) -> JSONValue {
    switch (path.first, value) {
    case (nil, _): return new
    case (.element(let index), .array(var values)):
      values[index] = replacing(path.dropFirst(), in: values[index], by: new)
      return .array(values)
    case (.member(let name), .object(var object)):
      object[name] = object[name].map { replacing(path.dropFirst(), in: $0, by: new) }
      return .object(object)
    default: return value
    }
  }
}
