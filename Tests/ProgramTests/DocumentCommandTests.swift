import Glibc
import Testing

@testable import mend

@Suite("Documents' commands")
struct DocumentCommandTests {
  private func run(_ command: String, uri: String = "file:///tmp/a%20b'c", id: String = "d1") async -> CommandResult {
    await DocumentCommands().run(command, for: CommandDocument(id: id, uri: uri))
  }

  @Test("A document is told by the environment and never becomes shell text")
  func environment() async {
    let result = await run(
      #"test "$MEND_PATH" = "/tmp/\$(exit 9)'" && test "$MEND_URI" = "file:///tmp/%24(exit%209)'" && test "$MEND_DOCUMENT_ID" = d1"#,
      uri: "file:///tmp/%24(exit%209)'")
    #expect(result.termination == .exited(0))
  }

  @Test("The last line of stderr that is not blank is kept")
  func lastLine() async {
    let result = await run(#"echo first >&2; printf 'the cause \n\n' >&2; exit 3"#)
    #expect(result.termination == .exited(3))
    #expect(result.lastErrorLine == "the cause")
  }

  @Test("Of an output that ends with a trace the line above is kept")
  func trace() async {
    let result = await run(#"printf 'one\nError: no page\n    at a (/x.js:1:7)\n\nNode.js v18.19.0\n' >&2; exit 1"#)
    #expect(result.lastErrorLine == "Error: no page")
  }

  @Test("A signal is told from an exit")
  func signals() async {
    #expect(await run("kill -9 $$").termination == .signalled(9))
    #expect(await run("exit 137").termination == .exited(137))
  }

  @Test("Something left behind that holds stderr open holds nothing up")
  func leftBehind() async {
    let start = ContinuousClock.now
    let result = await run("sleep 30 & exit 0")
    #expect(result.termination == .exited(0))
    #expect(ContinuousClock.now - start < .seconds(20))
  }

  @Test("Something left behind that writes to stderr on and on holds nothing up", .timeLimit(.minutes(1)))
  func leftWriting() async throws {
    let command = "(while echo beat >&2; do :; done) & echo the last word >&2; exit 3"
    #expect(await run(command).termination == .exited(3))
  }

  @Test("A command has no descriptor of the worker's")
  func descriptors() async {
    let leaked = open("/dev/null", O_RDONLY)
    defer { close(leaked) }
    #expect(leaked > 2)
    // The listing has one of its own while it reads.
    let result = await run("ls /proc/self/fd | tr '\\n' ' ' >&2; exit 1")
    #expect(result.lastErrorLine == "0 1 2 3")
  }

  @Test("Running commands can be ended with what they started")
  func ended() async throws {
    let commands = DocumentCommands()
    async let result = commands.run("sleep 60 & sleep 60; exit 0", for: CommandDocument(id: "d", uri: "/x"))
    // Until the group is there to be signalled.
    let deadline = ContinuousClock.now + .seconds(30)
    while !commands.isRunning {
      try #require(ContinuousClock.now < deadline, "the command was not started within 30 s")
      await Task.yield()
    }
    commands.signalAll(15)
    #expect(await result.termination == .signalled(15))
  }

  @Test("A line is cut at 1 KiB and survives being split")
  func lineLimit() {
    var line = LastLine()
    for _ in 0..<300 { line.append(Array("0123456789".utf8)[...]) }
    #expect(line.text.utf8.count == 1024)
    line.append(Array("\nsecond ".utf8)[...])
    line.append(Array("half\r\n\n".utf8)[...])
    #expect(line.text == "second half")
  }
}
