import MendReading
import Testing

@Suite("The tail of a stream")
struct OutputTailTests {
  @Test(
    "is what a terminal would show",
    arguments: [
      ("a\nb\n", ["a", "b"]), ("a\r\nb\r\n", ["a", "b"]), ("", []), ("\n \n\t\n", []), ("half", ["half"]),
      ("1%\r2%\r3%", ["3%"]), ("1%|  |\rpages.db: No space left", ["pages.db: No space left"]),
      ("1%\r2%\r", ["2%"]), ("bar\r\nnext", ["bar", "next"]),
      ("\u{1B}[31mred\u{1B}[0m \u{1B}]0;title\u{7}x\u{1B}(By", ["red xy"]), ("a\u{0}b\u{8}c", ["ac"]),
      ("\u{1B}]never\nclosed\n", ["closed"]), ("größe ☂\n", ["größe ☂"]),
    ])
  func terminal(_ text: String, _ lines: [String]) { #expect(OutputTail(text).lines == lines) }

  @Test("is bounded in lines and bytes, and keeps the end")
  func bounded() {
    var tail = OutputTail()
    for number in 0..<1000 { tail.append("line \(number)\n".utf8) }
    #expect(tail.lines.count == OutputTail.lineLimit)
    #expect(tail.lines.last == "line 999")
    for _ in 0..<100 { tail.append((String(repeating: "x", count: 1000) + "\n").utf8) }
    #expect(tail.lines.count == 16)
    #expect(tail.lines.joined(separator: "\n").utf8.count <= OutputTail.byteLimit)
  }

  @Test("numbers its lines as the stream has them, whatever was blank or dropped before")
  func numbers() {
    #expect(OutputTail("a\n\n \nb\r\n1%\r2%\nlast").lineNumbers == [1, 4, 5, 6])
    #expect(OutputTail("").lineNumbers.isEmpty)
    var tail = OutputTail()
    for number in 1...1000 { tail.append("line \(number)\n\n".utf8) }
    #expect(tail.lineNumbers == (937...1000).map { $0 * 2 - 1 })
    tail.append(String(repeating: "x\n", count: 100_000).utf8)
    tail.append("unfinished".utf8)
    #expect(tail.lineNumbers.last == 102_001 && tail.lineNumbers.count == tail.lines.count)
  }

  @Test("a line that is too long keeps both ends, and whole characters")
  func long() {
    for character in ["x", "é", "☂", "🌂"] {
      let line = OutputTail("begin " + String(repeating: character, count: 30_000_0 / 10) + " end").lines.first ?? ""
      #expect(line.hasPrefix("begin \(character)") && line.hasSuffix("\(character) end"))
      #expect(line.contains(character + OutputTail.gap + character))
      #expect(line.utf8.count <= OutputTail.lineByteLimit + OutputTail.gap.utf8.count)
    }
    let whole = String(repeating: "y", count: OutputTail.lineByteLimit)
    #expect(OutputTail(whole).lines == [whole])
  }

  @Test("is the same however it comes in pieces")
  func pieces() {
    let text = "a\u{1B}[1;31mb\rc é\n" + String(repeating: "long ", count: 1000) + "\r\nlast \u{1B}]0;t\u{1B}\\!"
    var tail = OutputTail()
    for byte in text.utf8 { tail.append(CollectionOfOne(byte)) }
    #expect(tail.lines == OutputTail(text).lines)
    #expect(tail.lines.last == "last !")
  }
}
