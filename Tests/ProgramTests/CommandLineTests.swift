import Foundation
import TestSupport
import Testing

/// The real program, without a server: what it says and how it ends.
@Suite("The command line")
struct CommandLineTests {
  @Test(
    "Wrong usage ends with 2 and says what is right",
    arguments: [
      (["bogus"], "bogus"), (["status"], "BATCH"), (["status", "b", "-o", "yaml"], "json"),
      (["retry", "b"], "--tier"), (["retry", "b", "--tier", "0", "--memory", "5x"], "256MiB"),
      (["heal", "b", "--action", "magic"], "detect-stuck"), (["cancel", "b", "--grace", "-1"], "--grace"),
      (["watch", "b", "--after", "-1"], "'-1' is invalid for '--after"),
      (["heal", "b", "--action", "auto", "--generation", "-1"], "'-1' is invalid for '--generation"),
      (["list", "--status", "odd"], "cancelled"), (["submit"], "--tier"), (["submit", "--tier", "a=b"], "FILE"),
      (["submit", "--tier", "nocommand", "/etc/passwd"], "NAME=COMMAND"),
      (["submit", "--tier", "a=true", "/nonexistent/file"], "/nonexistent/file"),
      (["submit", "--tier", "a=true", "/etc"], "directory"), (["submit", "--spec", "/nonexistent"], "No such file"),
      (["submit", "--spec", "x", "--tier", "a=b"], "--spec"), (["--server", "status"], "server"),
      (["status", "b", "--server", "nonsense"], "HOST:PORT"), (["report"], "--done"),
      (["causes", "nothing"], "no reason is called 'nothing'"),
      (["causes", "--causes", "/nonexistent"], "No such file"),
      (["explain", "/dev/null", "--exit-code", "1", "--signal", "9"], "not both"),
      (["explain", "-", "--stdout", "-"], "standard input can be read once"),
      (["explain", "/nonexistent"], "/nonexistent cannot be read: No such"),
      (["explain", "/etc"], "/etc cannot be read"),
      (["explain", "/dev/null", "--causes", "/etc/passwd"], "/etc/passwd:1: expected"),
      (["report", "--beat"], "MEND_ENDPOINT"), (["worker"], "MEND_ENDPOINT"), (["serve"], "--data"),
      (["serve", "--data", "/tmp/x", "--executor", "dreamt"], "simulated"),
      (["serve", "--data", "/tmp/x", "--executor", "ray"], "--ray"),
      (["serve", "--data", "/tmp/x", "--listen", "0.0.0.0:0"], "--tokens"),
      (["serve", "--data", "/tmp/" + String(repeating: "x", count: 110)], "shorter --data"),
      (["serve", "--data", "/tmp/x", "--quota", "team"], "team"),
      (["serve", "--data", "/tmp/x", "--quota", "team=cores:4"], "--quota"),
      (["serve", "--data", "/tmp/x", "--quota", "a=cpus:1", "--quota", "a=gpus:1"], "twice"),
      (["submit", "--tier", "a=true", "--auto-heal-budget", "3", "/etc/passwd"], "--auto-heal"),
      (["token", "create", "--tokens", "/tmp/t", "--namespace", "a b", "--role", "viewer"], "--namespace"),
    ])
  func wrongUsage(_ arguments: [String], _ expected: String) throws {
    let run = try Run(arguments)
    #expect(run.status == 2, "\(arguments): \(run.error)")
    #expect(run.error.contains(expected), "\(run.error)")
    #expect(run.output.isEmpty)
  }

  @Test(
    "Without a server the status is 3, and the address and a way to start one are named",
    arguments: [["status", "b"], ["list"], ["diagnose", "b"], ["watch", "b"], ["cancel", "b"], ["pause", "b"]])
  func noServer(_ arguments: [String]) throws {
    let run = try Run(arguments + ["--server", "127.0.0.1:1"])
    #expect(run.status == 3, "\(run.error)")
    #expect(run.error.contains("127.0.0.1:1"))
    #expect(run.error.contains("mend serve"))
    #expect(run.output.isEmpty)
  }

  @Test("A server is also named by the environment, and a socket that isn't there is no server")
  func environment() throws {
    let run = try Run(["list"], environment: ["MEND_SERVER": "unix:/nonexistent/mend.sock"])
    #expect(run.status == 3)
    #expect(run.error.contains("unix:/nonexistent/mend.sock"))
  }

  @Test("A failure is explained, and a reason, without a server")
  func explains() throws {
    let explained = try Run(["explain", "/dev/null", "--exit-code", "124", "-o", "jsonl"])
    #expect(explained.status == 0 && explained.output.contains("\"reason\":\"timeout.command\""), "\(explained.output)")
    let reason = try Run(["causes", "http.429"])
    #expect(reason.status == 0 && reason.output.contains("infrastructure: throttled"), "\(reason.output)")
  }

  @Test("The line that tells is numbered as the file has it, also where it is longer than what is kept of it")
  func numbersLines() throws {
    let directory = try TemporaryDirectory()
    let file = directory.path + "/stderr"
    let lines = (1...85).map { "page \($0)" } + ["OSError: [Errno 28] No space left on device"]
    try lines.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
    let run = try Run(["explain", file, "-o", "jsonl"])
    #expect(run.output.contains("\"line_number\":86,"), "\(run.output)\(run.error)")
    #expect(try Run(["explain", file]).output.contains("[stderr, line 86]"))
    #expect(try Run(["explain", "/dev/null", "--stdout", file]).output.contains("[stdout, line 86]"))
  }

  @Test("Help and version are no errors")
  func help() throws {
    for arguments in [["--help"], ["submit", "--help"], ["help", "serve"]] {
      let run = try Run(arguments)
      #expect(run.status == 0)
      #expect(run.output.contains("EXAMPLES"))
    }
    #expect(try Run(["--version"]).output == "mend 0.1.0\n")
    #expect(try Run(["version"]).output == "mend 0.1.0\n")
  }

  @Test("A token is printed once, and its file keeps the hash alone")
  func token() throws {
    let directory = try TemporaryDirectory()
    let file = directory.path + "/tokens"
    let run = try Run(["token", "create", "--tokens", file, "--namespace", "reports", "--role", "operator"])
    #expect(run.status == 0, "\(run.error)")
    let secret = run.output.trimmingCharacters(in: .newlines)
    #expect(secret.count > 20)
    let kept = try String(contentsOfFile: file, encoding: .utf8)
    #expect(!kept.contains(secret))
    #expect(kept.contains("reports"))
  }
}

/// One run of the program to its end.
struct Run {
  let status: Int32
  let output: String
  let error: String

  init(_ arguments: [String], environment: [String: String] = [:]) throws {
    let process = Process()
    process.executableURL = URL(filePath: BuiltProgram.mend ?? "mend")
    process.arguments = arguments
    var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("MEND_") }
    variables.merge(environment) { $1 }
    process.environment = variables
    let (output, error) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = error
    process.standardInput = FileHandle.nullDevice
    try process.run()
    // Both are short: neither fills a pipe while the other is read.
    self.output = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    self.error = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    status = process.terminationStatus
  }
}
