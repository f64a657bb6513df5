import Foundation
import MendCore

/// Runs this command again in a child process, because a damaged journal may crash its reader. After a crash it runs once
/// more, without the batch that was being read.
enum ExaminingProcess {
  /// The most crashes over different batches; beyond it the batches are not the reason.
  private static let mostCrashes = 100

  /// Returns the exit status of the first process that does not crash.
  static func run() throws -> Int32 {
    let note = FileManager.default.temporaryDirectory.appendingPathComponent("mend-doctor-\(UUID())").path
    defer { unlink(note) }
    var crashes: [String] = []
    while true {
      let status = try status(
        of: CommandLine.arguments + ["--crash-note", note] + crashes.flatMap { ["--crashed-over", $0] })
      let signal = status & 0x7F
      guard signal != 0 else { return status >> 8 & 0xFF }
      guard crashes.count < mostCrashes, let crash = CrashFile.last(at: note), let batch = crash.batch else {
        throw ProgramError(.refused, "the journal was not read to its end: signal \(signal) ended the process that did")
      }
      crashes.append("\(batch.namespace)/\(batch.batchID)/\(crash.signal)")
    }
  }

  /// The batches that earlier processes crashed over, each with its signal, as `run` names them.
  static func batches(_ crashes: [String]) -> [BatchKey: Int32] {
    let parts = crashes.map { $0.split(separator: "/").map(String.init) }.filter { $0.count == 3 }
    let pairs = parts.map { (BatchKey(namespace: $0[0], batchID: $0[1]), Int32($0[2]) ?? 0) }
    return Dictionary(pairs, uniquingKeysWith: { _, last in last })
  }

  /// Returns a status as `waitpid` does. The child has this process's standard streams and receives a terminal's signals.
  private static func status(of arguments: [String]) throws -> Int32 {
    var pointers = arguments.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, "/proc/self/exe", nil, nil, &pointers, environ)
    guard failure == 0 else {
      throw ProgramError(.refused, "the examination cannot be started: \(Standard.systemError(failure))")
    }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      guard errno == EINTR else {
        throw ProgramError(.refused, "the examination cannot be waited for: \(Standard.systemError())")
      }
    }
    return status
  }
}
