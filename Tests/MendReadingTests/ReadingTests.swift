import MendCore
import Testing

@testable import MendReading

@Suite("Reading a failure")
struct ReadingTests {
  private func read(
    _ stderr: String, _ exit: Failure.Exit = .code(1), stdout: String = "", names: [String] = [],
    measured: Failure.Measured? = nil, guess: FailureCause? = nil
  ) -> Reading {
    FailureReader().read(
      Failure(
        exit: exit, stderr: OutputTail(stderr).lines, stdout: OutputTail(stdout).lines, names: names,
        measured: measured, guess: guess))
  }

  @Test("the line that tells is found above what follows from it", arguments: tails)
  func tail(_ output: String, _ reason: String, _ line: String) {
    let reading = read(output)
    #expect(reading.reason == reason)
    #expect(reading.line?.text == line)
  }

  private static let tails = [
    (
      "c++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\nmake: *** [Makefile:28: build/a.o] Error 1\n",
      "signal.killed", "c++: fatal error: Killed signal terminated program cc1plus"
    ),
    (
      "Traceback (most recent call last):\n  File \"embed.py\", line 9, in <module>\n    x = x.cuda()\nRuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1.\n",
      "cuda.out_of_memory", "RuntimeError: CUDA error: out of memory"
    ),
    (
      "Error: Cannot find module 'pdfjs-dist'\nnpm error code 1\nnpm error path /srv/app\nnpm error A complete log of this run can be found in: /root/.npm/_logs/x-debug-0.log\n",
      "program.module_missing", "Error: Cannot find module 'pdfjs-dist'"
    ),
    (
      "node:events:497\n      throw er; // Unhandled 'error' event\n      ^\n\nError: ENOENT: no such file or directory, open '/no/such.json'\nEmitted 'error' event on ReadStream instance at:\n    at emitErrorNT (node:internal/streams/destroy:170:8) {\n  errno: -2,\n  code: 'ENOENT',\n  syscall: 'open',\n  path: '/no/such.json'\n}\n\nNode.js v20.19.2\n",
      "file.missing", "Error: ENOENT: no such file or directory, open '/no/such.json'"
    ),
    (
      "Exception in thread \"main\" java.lang.IllegalStateException: no\n\tat A.b(A.java:1)\nCaused by: java.io.IOException: No space left on device\n\tat A.c(A.java:2)\n\t... 3 more\n",
      "disk.full", "Caused by: java.io.IOException: No space left on device"
    ),
    (
      "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nConnectionRefusedError: [Errno 111] Connection refused\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    raise StoreError('no')\nstore.StoreError: no\n",
      "net.refused", "ConnectionRefusedError: [Errno 111] Connection refused"
    ),
    (
      "  0%|   | 0/4\r 50%|## | 2/4\rpages.db: No space left on device", "disk.full",
      "pages.db: No space left on device"
    ),
    (
      "panic: no page\n\ngoroutine 1 [running]:\nmain.work(0x3)\n\t/src/main.go:9 +0x1d\nexit status 2\n",
      "program.error", "panic: no page"
    ),
    (
      "thread 'main' panicked at src/main.rs:4:5:\nno page left\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
      "program.error", "thread 'main' panicked at src/main.rs:4:5:"
    ),
    ("reading\nall is odd here\n", "exit.code", "all is odd here"),
  ]

  @Test("exit codes and signals have their meaning where no words tell more")
  func exits() {
    #expect(read("", .code(124)).reason == "timeout.command")
    #expect(read("", .code(75)).reason == "exit.tempfail")
    #expect(read("", .code(137)).reason == "signal.killed")
    #expect(read("", .code(247)).reason == "signal.killed")
    #expect(read("", .signal(11)).reason == "signal.segfault")
    #expect(read("", .signal(11)).confidence == .high)
    #expect(read("sh: 1: /bin/echo: Argument list too long", .code(126)).reason == "limit.arguments")
    #expect(read("", .code(3)).confidence == .low)
  }

  @Test("what is measured outranks what is said, and that outranks a guess")
  func ranks() {
    let words = "OSError: [Errno 28] No space left on device"
    #expect(read(words, measured: .beyondMemoryLimit).cause == .oom)
    #expect(read(words, .signal(11)).reason == "signal.segfault")
    #expect(read(words, guess: .badInput).reason == "disk.full")
    #expect(read("", guess: .badInput).cause == .badInput)
    #expect(read("odd", guess: .badInput).reason == "exit.code")
  }

  @Test("stdout is read where stderr tells nothing")
  func stdout() {
    let reading = read(
      "",
      stdout: "Error occurred during initialization of VM\nCould not reserve enough space for 3145728KB object heap\n")
    #expect(reading.reason == "memory.refused")
    #expect(reading.line?.stream == .stdout)
  }

  @Test("what stands in quotes, in a path or in a name is somebody else's")
  func foreign() {
    #expect(
      read("cat: '/srv/in/Too many open files - minutes.txt': No such file or directory").reason == "file.missing")
    #expect(read("KeyError: 'ECONNREFUSED'").reason == "program.error")
    #expect(read("billing.MemoryError: customer has no memory card").cause != .oom)
    let name = "/srv/in/Too many open files.txt"
    #expect(read("cat: \(name): No such file or directory", names: [name]).reason == "input.missing")
  }

  @Test("a group's id depends on the reason and what varies not, and stays the same")
  func groups() {
    func group(_ line: String, _ extractor: String = "text") -> String {
      FailureGroup.id(extractor: extractor, read(line))
    }
    #expect(group("odd page 7 of /srv/a.pdf") == group("odd page 12 of /srv/b/c.pdf"))
    #expect(group("odd page 7") != group("even page 7"))
    #expect(group("ModuleNotFoundError: No module named 'a'") != group("ModuleNotFoundError: No module named 'b'"))
    #expect(group("x: No space left on device") == group("y: No space left on device"))
    #expect(group("odd") != group("odd", "other"))
    #expect(group("odd").count == 14)
  }

  @Test(
    "masks whole tokens that vary",
    arguments: [
      ("page 7 of 12.5 at 0x7f3a", "page <n> of <n> at <hex>"), ("open '/srv/a b.pdf': no", "open <text>: no"),
      ("GET https://h/x?y=1, then", "GET <url>, then"), ("/srv/in/x.pdf: bad", "<path>: bad"),
      ("at 2026-03-03T12:47:09.1Z, 12:47:09", "at <time>, <time>"), ("t0-j3 utf8", "t0-j3 utf8"),
      ("id 6f1c2d3e-0000-4000-8000-0123456789ab", "id <uuid>"), ("commit 3f9ab2c1", "commit <hex>"),
    ])
  func masks(_ line: String, _ masked: String) { #expect(Mask().masked(line) == masked) }

  @Test(
    "hides secrets",
    arguments: [
      ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
      ("postgres://app:hunter22@db/x", "postgres://***@db/x"), ("password=hunter22 host=db", "password=*** host=db"),
      ("key AKIAIOSFODNN7EXAMPLE is wrong", "key *** is wrong"),
      ("https://h/x?sig=abcd1234&a=1", "https://h/x?sig=***&a=1"),
      ("SyntaxError: Unexpected token: }", "SyntaxError: Unexpected token: }"), ("our own-secret-value", "our ***"),
      ("token ghp_0123456789abcdef", "token ***"), ("\"api_key\": \"sk-abcdefghijklmnop\"", "\"api_key\": \"***\""),
    ])
  func secrets(_ line: String, _ masked: String) {
    #expect(Secrets(values: ["own-secret-value", "short"]).masked(line) == masked)
  }
}
