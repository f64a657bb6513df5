import Glibc
import MendRuntime
import TestSupport
import Testing

@testable import MendExecutors

@Suite struct ProcessTests {
  @Test func `a process name with spaces and parentheses does not confuse its status`() throws {
    let fields = "S 7 9 8 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 424242 1000 50"
    let status = try #require(ProcessTable.status(fromStat: Array("12 (a) b (c)) \(fields)".utf8), pid: 12))
    #expect(status.parent == 7)
    #expect(status.session == 8)
    #expect(status.threads == 3)
    #expect(status.startTicks == 424242)
    #expect(!status.isDead)
  }

  @Test("a status line that is cut is none", arguments: ["", "12 (a", "12 (a) S 7", "12 (a) S x y z"])
  func cutStatus(line: String) {
    #expect(ProcessTable.status(fromStat: Array(line.utf8), pid: 12) == nil)
  }

  @Test func `a pid that was used again is not the process`() throws {
    let own = try #require(processStatus(of: getpid()))
    let identity = ProcessIdentity(pid: own.pid, startTicks: own.startTicks, bootID: ProcessTable.bootID)
    #expect(reference(to: identity) != nil)
    var later = identity
    later.startTicks += 1
    #expect(reference(to: later) == nil)
    var elsewhere = identity
    elsewhere.bootID = "other"
    #expect(reference(to: elsewhere) == nil)
    #expect(ProcessIdentity(reference: identity.reference) == identity)
  }

  @Test("a reference of another form is none", arguments: ["", "1:2", "a:2:b", "0:2:b", "1:2:b:c", "raysubmit_1"])
  func foreignReference(reference: String) {
    #expect(ProcessIdentity(reference: reference) == nil)
  }

  @Test func `a program that cannot be started says why and leaves nothing`() throws {
    let child = ProcessReference.Child(arguments: ["/nonexistent"], environment: [:])
    let error = #expect(throws: SystemError.self) { try child.start(output: nil, error: nil) }
    #expect(error?.code == ENOENT)
    let place = ProcessReference.Child(arguments: ["/bin/true"], environment: [:], directory: "/nonexistent")
    #expect(throws: SystemError.self) { try place.start(output: nil, error: nil) }
  }
}

@Suite struct BoundedLogTests {
  let data: TemporaryDirectory
  let path: String
  init() throws {
    data = try TemporaryDirectory()
    path = "\(data.path)/log"
  }

  /// What a reader finds who asks for so many bytes at a time: each gap as its length, in brackets.
  func kept(limit: Int = 7) -> String {
    var text = ""
    var offset: Int64 = 0
    while let piece = AttemptLog(path: path).piece(from: offset, limit: limit), !piece.bytes.isEmpty {
      if piece.offset > offset { text += "[\(piece.offset - offset)]" }
      text += String(decoding: piece.bytes, as: UTF8.self)
      offset = piece.offset + Int64(piece.bytes.count)
    }
    return text
  }

  @Test(arguments: [["abc", "def"], ["0123456789abcdef"], []]) func `what fits is kept as it is`(
    writes: [String]
  ) {
    var log = BoundedLog(path: path, limit: 16)
    for write in writes { log.append(Array(write.utf8)[...]) }
    #expect(kept() == writes.joined())
  }

  @Test func `of what does not fit the head and the tail are kept, each byte at its place`() throws {
    var log = BoundedLog(path: path, limit: 16)
    for write in ["HEADHEAD", String(repeating: "x", count: 40), "TAIL"] { log.append(Array(write.utf8)[...]) }
    #expect(kept() == "HEADHEAD[36]xxxxTAIL")
    #expect(names(in: data.path).count == 3)
    #expect(AttemptLog(path: path).piece(from: 50, limit: 100) == LogPiece(offset: 50, bytes: Array("IL".utf8)))
    #expect(AttemptLog(path: path).piece(from: 52, limit: 100) == LogPiece(offset: 52, bytes: []))
  }

  @Test func `a reader follows while it is written, whatever the pieces are`() throws {
    var log = BoundedLog(path: path, limit: 64)
    var text = ""
    var offset: Int64 = 0
    for number in 0..<40 {
      log.append(Array("line \(number)\n".utf8)[...])
      while let piece = AttemptLog(path: path).piece(from: offset, limit: 5), !piece.bytes.isEmpty {
        #expect(piece.offset == offset)
        text += String(decoding: piece.bytes, as: UTF8.self)
        offset += Int64(piece.bytes.count)
      }
    }
    #expect(text == (0..<40).map { "line \($0)\n" }.joined())
  }

  @Test func `before the first byte a log is empty, and without its directory there is none`() {
    #expect(AttemptLog(path: path).piece(from: 0, limit: 1) == LogPiece(offset: 0, bytes: []))
    #expect(AttemptLog(path: "\(data.path)/nothing/log").piece(from: 0, limit: 1) == nil)
  }
}

@Suite struct LastStderrLineTests {
  func line(_ writes: String...) -> String {
    var last = LastStderrLine()
    for write in writes { last.append(Array(write.utf8)[...]) }
    return last.text
  }

  @Test func `the last line with something in it counts, ended or not`() {
    #expect(line("a\nb\n") == "b")
    #expect(line("a\nb") == "b")
    #expect(line("a\n  \n\n") == "a")
    #expect(line("par", "ted\n") == "parted")
    #expect(line("") == "")
  }

  @Test func `of an output that ends with a trace it is the line above that counts`() {
    #expect(
      line("one\nException in thread \"main\" java.lang.OutOfMemoryError: Java heap space\n", "\tat A.b(A.java:1)\n")
        == "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space")
    #expect(line(String(repeating: "noise\n", count: 9000) + "panic: no\n\ngoroutine 1 [running]:\n") == "panic: no")
    #expect(line("one\n\tat the end\n", "two") == "two")
  }

  @Test func `a long line is cut at its limit, never within a character`() {
    #expect(line(String(repeating: "é", count: 600)).utf8.count == 1024)
    #expect(line("x" + String(repeating: "é", count: 600)) == "x" + String(repeating: "é", count: 511))
    #expect(line("old\n" + String(repeating: "y", count: 5000) + "\n").utf8.count == 1024)
  }
}
