import Testing

@testable import mend

@Suite("A program's output to explain")
struct ProgramOutputTests {
  private func lines(_ text: String, pieces size: Int = .max) throws -> (lines: [String], numbers: [Int]) {
    var output = ProgramOutput()
    let bytes = Array(text.utf8)[...]
    var rest = bytes
    while !rest.isEmpty {
      try output.append(rest.prefix(size))
      rest = rest.dropFirst(size)
    }
    try output.end()
    return (output.lines, output.lineNumbers)
  }

  @Test("the header of a log is left out, however it comes in pieces; lines like it stay")
  func header() throws {
    let log = "==> t0-j12.3 stderr <==\nfirst\n==> a.log <==\n=\n\n==> t0-j12.3 stderr\n \u{1B}[1mlast"
    for size in [1, 2, 3, 7, 1000] {
      let read = try lines(log, pieces: size)
      #expect(read.lines == ["first", "==> a.log <==", "=", "==> t0-j12.3 stderr", " last"])
      #expect(read.numbers == [1, 2, 3, 5, 6])
    }
    #expect(try lines("==> t0-j0.1 stderr <==").lines.isEmpty)
    #expect(try lines("==>").lines == ["==>"])
    let long = "==> " + String(repeating: "x", count: 300) + " t0-j0.1 stderr <=="
    #expect(try lines(long, pieces: 5).lines == [long])
  }

  @Test(
    "the logs of two jobs, attempts or streams are refused, and what to do is said",
    arguments: ["t0-j1.1 stderr", "t0-j0.2 stderr", "t0-j0.1 stdout"])
  func several(_ second: String) throws {
    let log = "==> t0-j0.1 stderr <==\nfirst\n==> \(second) <==\nsecond\n"
    let error = try #require(throws: ProgramError.self) { try lines(log) }
    #expect(error.status == .wrongUsage && error.message.contains("==> \(second) <=="), "\(error.message)")
    #expect(error.message.contains("--job t0-j"))
    #expect(try lines(log.replacing(second, with: "t0-j0.1 stderr")).lines == ["first", "second"])
  }
}
