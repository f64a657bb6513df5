import Testing

@testable import MendCore

/// What each line comes to is in Tests/Scenarios/last_words_*.txt and signals.txt.
@Suite("Error signatures")
struct ErrorSignatureTests {
  @Test("no line of the table is hidden by an earlier one", arguments: ErrorSignature.all)
  func reached(_ signature: ErrorSignature) {
    for text in signature.texts {
      // The name of an error number is one at the end of its sentence, or before a sign that ends it.
      let isErrorNumber = text.first == "E" && text.allSatisfy { $0.isUppercase || $0 == "_" }
      let lines = isErrorNumber ? ["x \(text)", "x: \(text): y", "x \(text) (y)", "x [\(text)] y"] : ["x \(text) y"]
      for line in lines { #expect(ErrorSignature.matching(line)?.name == signature.name, "\(line)") }
    }
    for name in signature.exceptions {
      for line in [name, "\(name): y", "worker: \(name): y", "Caused by: \(name)"] {
        #expect(ErrorSignature.matching(line)?.name == signature.name, "\(line)")
      }
    }
  }

  @Test(
    "what a program calls like a runtime's error, or writes about one, is its own",
    arguments: [
      "acme.ImportError: row 17 has no date", "billing.MemoryError: customer has no memory card",
      "Acme::TimeoutException: no slot", "assert got: MemoryError", "expected ValueError, got: MemoryError",
      "ERROR ENOMEM is not a valid code", "EACCES means that it is locked", "unknown constant ENOSPC in row 4",
    ])
  func ownNames(_ line: String) { #expect(ErrorSignature.matching(line)?.cause == nil, "\(line)") }

  @Test(
    "what a runtime or a library writes is known with its modules",
    arguments: [
      ("builtins.MemoryError", "memory"),
      ("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB", "memory"),
      ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate", "memory"),
      ("Unhandled exception. System.OutOfMemoryException: x", "memory"),
      ("java.lang.NoClassDefFoundError: a/B", "missing module"),
      ("java.net.UnknownHostException: db", "name resolution"),
      ("json.decoder.JSONDecodeError: Expecting value", "form of the input"),
      ("requests.exceptions.ReadTimeout: HTTPSConnectionPool", "own time limit"),
      ("Error: connect ECONNREFUSED 127.0.0.1:5432", "connection"),
      ("Error: getaddrinfo ENOTFOUND db", "name resolution"),
      ("Error: ENOSPC: no space left on device, write", "full disk"), ("Error: spawn ENOMEM", "memory"),
      ("write failed: EFBIG", "file size"),
    ])
  func knownHomes(_ line: String, _ name: String) { #expect(ErrorSignature.matching(line)?.name == name, "\(line)") }

  /// Words, limit and peak in MiB, and what is planned.
  private static let planned: [(String, Int64, Int64, Int64?)] = [
    ("MemoryError", 256, 230, 512), ("MemoryError", 0, 40, nil),
    // A peak far below the limit: another bound refused it, and more of Mend's memory is no help.
    ("MemoryError", 256, 40, nil), ("std::bad_alloc", 256, 204, nil),
    ("java.lang.OutOfMemoryError: Java heap space", 256, 230, nil),
  ]

  @Test("each says what happened and what to do, and none of them is certain")
  func honest() {
    #expect(Set(ErrorSignature.all.map(\.name)).count == ErrorSignature.all.count)
    for signature in ErrorSignature.all {
      #expect(signature.confidence != .high)
      #expect(signature.meaning.count > 10 && signature.resolution.count > 10 && !signature.resolution.hasSuffix("."))
      #expect(signature.texts.allSatisfy { $0.count >= 4 })
    }
  }

  @Test(
    "what only says that it had no memory is given more by a plan where it had a limit, and not where the limit is its own",
    arguments: ErrorSignatureTests.planned)
  func plans(_ words: String, _ limit: Int64, _ peak: Int64, _ planned: Int64?) {
    var harness = Harness(memory: 4 << 30)
    harness.submit([tier(extractor(memory: limit << 20))])
    harness.run()
    _ = harness.claim(1)
    let exit = ExitRecord(
      termination: .exited(1), at: harness.now, peakMemoryBytes: peak << 20, memoryLimitBytes: limit << 20,
      lastStderrLine: words)
    harness.see(.ended(harness.attempt(), exit, nil))
    #expect(harness.job().failure?.cause == .oom)
    let answer = harness.ask(.heal(batchID: "b", tier: nil, .auto, dryRun: true, generation: 0))
    guard case .success(.healed(let healed)) = answer else {
      Issue.record("\(String(describing: answer))")
      return
    }
    #expect(
      healed.steps.map(\.operation)
        == planned.map {
          [.retryTier(tier: 0, jobs: [JobID(tier: 0, index: 0)], memoryBytes: [JobID(tier: 0, index: 0): $0 << 20])]
        } ?? [])
  }

  @Test(
    "words in quotes, in a path, in a name or inside another word are not its own",
    arguments: [
      "ERROR FILENOTFOUND: /data/x.pdf", "acme.DataImportError: row 17 has no date", "KeyError in InMemoryErrorStore",
      "cat: '/srv/in/Too many open files - minutes.txt': read 3 bytes", "read /srv/No-space/ENOSPC.txt and stopped",
      "open \"Connection refused\" failed", "bad title `Permission denied'", "bad title “No space left on device”",
      "MyMemoryErrorHandler: gave up", "no PREEMPTION_EMFILE_MODE set", "the fork: retrying later",
      "SomeParserErrors were counted", "PDFSyntaxError: No /Root object!",
    ])
  func foreign(_ line: String) {
    #expect(ErrorSignature.matching(line)?.cause == nil, "\(ErrorSignature.matching(line)?.name ?? "")")
  }

  @Test(
    "the exception's own name counts, and not one that its message speaks of",
    arguments: [
      ("MemoryError", "memory"), ("ERROR:root:MemoryError: no", "memory"), ("worker 3: MemoryError", "memory"),
      ("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7 GiB", "memory"),
      ("KeyError: 'ECONNREFUSED'", "error not handled"), ("ValueError: MemoryError is no mode", "error not handled"),
      ("TypeError: ImportError", "error not handled"), ("ray.exceptions.RayTaskError(MemoryError): f()", "memory"),
      ("Exception in thread main java.lang.OutOfMemoryError: Java heap space", "managed heap"),
      ("Caused by: java.net.UnknownHostException: db", "name resolution"),
      ("can't start new thread", "threads and processes"), ("x: version `GLIBC_2.34' not found", "shared library"),
      ("Error: ENOENT: no such file or directory, open '/x'", "missing file"),
      ("{\"level\":\"error\",\"msg\":\"write /x: no space left: ENOSPC\"}", "full disk"),
      ("time=1 level=error msg=\"dial tcp: connection refused\"", "connection"),
      ("OSError: [Errno 5] Input/output error: '/x'", "file system that is gone"),
    ])
  func own(_ line: String, _ name: String) {
    #expect(ErrorSignature.matching(line)?.name == name)
  }

  @Test("what a document is called says nothing of why it failed")
  func names() {
    let document = Document(id: "d1", uri: "file:///srv/in/Too%20many%20open%20files.txt")
    let line = "cat: /srv/in/Too many open files.txt: No such file or directory"
    #expect(ErrorSignature.matching(line)?.name == "open files")
    #expect(ErrorSignature.matching(line, names: document.names)?.name == "missing file")
    var report = EndReport(
      exit: ExitRecord(termination: .exited(1), at: Instant(milliseconds: 5), lastStderrLine: line))
    report.documentNames = document.names
    #expect(report.end(at: Instant(milliseconds: 5)).verdict == .failed(.exitCode, .high))
  }

  @Test(
    "what is measured or said by the kernel and the executor wins over words",
    arguments: [
      (ExitRecord(termination: .exited(0), at: Instant(milliseconds: 5)), AttemptEnd.Verdict.succeeded),
      (ExitRecord(termination: .signalled(11), at: Instant(milliseconds: 5)), .failed(.signal, .high)),
      (ExitRecord(termination: .signalled(15), at: Instant(milliseconds: 5)), .failed(.signal, .high)),
      (
        ExitRecord(termination: .exited(1), at: Instant(milliseconds: 5), memoryLimitExceeded: true),
        .failed(.oom, .high)
      ),
      (
        ExitRecord(
          termination: .exited(1), at: Instant(milliseconds: 5),
          finding: .init(cause: .preemption, confidence: .medium, text: "taken")), .failed(.preemption, .medium)
      ),
      (ExitRecord(termination: .exited(1), at: Instant(milliseconds: 5)), .failed(.environmentSetup, .medium)),
    ])
  func ranks(_ exit: ExitRecord, _ verdict: AttemptEnd.Verdict) {
    var exit = exit
    exit.lastStderrLine = "OSError: [Errno 28] No space left on device"
    #expect(EndReport(exit: exit).end(at: exit.at).verdict == verdict)
  }
}

@Suite("Recent output")
struct StderrTailTests {
  private func line(_ text: String) -> String? {
    var tail = StderrTail()
    tail.append(Array(text.utf8)[...])
    return tail.lineAboveTrace
  }

  @Test(
    "the line above a trace says why",
    arguments: [
      (
        "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space\n\tat Main.fill(Main.java:7)\n\tat Main.main(Main.java:3)\n",
        "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space"
      ),
      (
        "Exception in thread \"main\" java.lang.IllegalStateException: no\n\tat A.b(A.java:1)\nCaused by: java.io.IOException: No space left on device\n\tat A.c(A.java:2)\n\t... 3 more\n",
        "Caused by: java.io.IOException: No space left on device"
      ),
      (
        "panic: no page\n\ngoroutine 1 [running]:\nmain.work(0x3)\n\t/src/main.go:9 +0x1d\nmain.main()\n\t/src/main.go:5 +0x11\nexit status 2\n",
        "panic: no page"
      ),
      (
        "thread 'main' panicked at src/main.rs:4:5:\nno page\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        "thread 'main' panicked at src/main.rs:4:5: no page"
      ),
      (
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n----- Native stack trace -----\n\n 1: 0xb090e0 node::Abort() [node]\n 2: 0xa1b70e  [node]\nAborted (core dumped)\n",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"
      ),
      ("Error: no page\n    at Object.<anonymous> (/x.js:1:7)\n\nNode.js v18.19.0\n", "Error: no page"),
      ("free(): invalid pointer\nAborted (core dumped)\n", "free(): invalid pointer"),
      (
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
        "terminate called after throwing an instance of 'std::bad_alloc' what():  std::bad_alloc"
      ),
      (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x7f (most recent call first):\n  File \"x.py\", line 3 in f\n",
        "Fatal Python error: Segmentation fault"
      ),
    ])
  func above(_ text: String, _ expected: String) {
    #expect(line("reading page 3\n" + text) == expected)
  }

  @Test(
    "where nothing follows it, the last line says it",
    arguments: [
      "", "\n \n", "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nKeyError: 'a'\n",
      "reading page 3\nSegmentation fault (core dumped)\n", "one\n12: cannot parse\n",
      "panic: said before\nno page 4\n",
      "exit status 2\n",
    ])
  func last(_ text: String) {
    #expect(line(text) == nil)
  }

  @Test("it is bounded, whatever comes, and a line of it too")
  func bounded() {
    var tail = StderrTail()
    let noise = Array("0123456789\n".utf8)
    for _ in 0..<10_000 { tail.append(noise[...]) }
    tail.append(Array(repeating: UInt8(ascii: "x"), count: 100_000)[...])
    tail.append(Array(("\npanic: " + String(repeating: "y", count: 3000) + "\n\ngoroutine 1 [running]:\n").utf8)[...])
    #expect(tail.lineAboveTrace?.utf8.count == StderrTail.lineLimit)
    #expect(tail.lineAboveTrace?.hasPrefix("panic: yyy") == true)
    #expect(MemoryLayout<StderrTail>.size == MemoryLayout<[UInt8]>.size)
  }
}
