import Foundation
import MendAPI
import MendProtobuf
import Testing

@testable import mend

@Suite("What tables and reports say")
struct OutputTests {
  private func actions(_ answer: DiagnoseResponse) -> [String] {
    DiagnosisReport.text(answer).components(after: "What to do\n")
  }

  @Test("a command that only begins like another is said; one that a finding's remedy says is said once")
  func nextActions() {
    var answer = DiagnoseResponse()
    answer.findings = [
      Finding {
        $0.remedy = Remedy {
          $0.description = "Retry tier 10"
          $0.command = "mend retry b --tier 10"
        }
      },
      Finding { $0.remedy = Remedy { $0.description = "add a node" } },
    ]
    answer.recommendations = ["Retry tier 10: mend retry b --tier 10", "Add a node."]
    answer.nextActions = ["mend retry b --tier 10", "mend retry b --tier 1", "add a node", "node"]
    #expect(actions(answer) == answer.recommendations + ["mend retry b --tier 1", "node"])
  }

  @Test("the head names causes of the category that it names, and no others")
  func category() {
    var answer = DiagnoseResponse {
      $0.failureCategory = .orphaned
      $0.infrastructureEvents = [InfrastructureEvent { $0.type = .oom }, InfrastructureEvent { $0.type = .orphaned }]
    }
    for (category, cause) in [
      (FailureCategory.infrastructure, "oom"), (.orphaned, "orphaned"), (.orphaned, "duplicate"),
    ] {
      answer.findings.append(
        Finding {
          $0.category = category
          $0.cause = cause
        })
    }
    #expect(DiagnosisReport.text(answer).contains("failure category orphaned: orphaned\n"))
  }

  @Test("a list that is printed as it comes is one document, whatever its length", arguments: 0..<3)
  func lists(_ count: Int) throws {
    var list = JSONList("pieces", of: "b\"1")
    var text = ""
    let pieces = (0..<count).map { number in
      ReadLogsResponse {
        $0.attempt = Int32(number)
        $0.note = "two\nlines"
      }
    }
    for piece in pieces { text += list.element(try Format.json(of: piece)) }
    text += list.end()
    let whole: JSONValue = ["batch_id": "b\"1", "pieces": .array(try pieces.map { try Format.json(of: $0) })]
    #expect(text == whole.pretty() + "\n")
  }

  @Test("a job whose attempt a pause ended says so, and not one that is over")
  func paused() {
    func why(_ status: JobStatus, _ state: AttemptState) -> String {
      let job = JobDiagnostic {
        $0.jobID = "t0-j0"
        $0.status = status
        $0.attempts = [
          AttemptDiagnostic {
            $0.attempt = 1
            $0.state = state
            $0.endedBy = "pause"
          }
        ]
      }
      let answer = DiagnoseResponse { $0.tiers = [TierDiagnostic { $0.jobs = [job] }] }
      return DiagnosisReport.text(answer)
    }
    #expect(why(.pending, .ended).contains("attempt 1 was ended: pause"))
    #expect(why(.starting, .ending).contains("attempt 1 is being ended: pause"))
    #expect(!why(.cancelled, .ended).contains("pause"))
  }

  @Test("a receipt and a plan say how much of them is not shown")
  func leftOut() {
    let receipt = CancelResponse {
      $0.ended = [EndedAttempt { $0.attempt = "t0-j0.1" }]
      $0.endedLeftOut = 7
    }
    #expect(Cancel.text(receipt).contains("ended 1 attempt with 0 processes, and 7 more that are not shown\n"))
  }

  @Test("what is over and went through all of its documents is at 100 %, and nothing else")
  func processed() {
    #expect(Wording.processed(99.9, .failed) == "100 %" && Wording.processed(99.9, .cancelled) == "100 %")
    #expect(Wording.processed(99.9, .running) == "99 %" && Wording.processed(75, .failed) == "75 %")
  }

  @Test("a list says how many documents failed, and where nobody wrote that down")
  func failed() {
    func row(_ id: String, _ failed: Int64?, hasFailures: Bool) -> BatchListEntry {
      BatchListEntry {
        $0.batchID = id
        $0.totalObjects = 9
        $0.totalTiers = 1
        $0.failedDocuments = failed
        $0.hasFailures = hasFailures
      }
    }
    func table(_ rows: BatchListEntry...) -> [[Substring]] {
      List.table(ListBatchesResponse { $0.batches = rows }).split(separator: "\n").map { $0.split(separator: " ") }
    }
    let mixed = table(row("a", 7, hasFailures: true), row("b", 0, hasFailures: false), row("c", nil, hasFailures: true))
    #expect(mixed[0].contains("FAILED"))
    let place = mixed[0].firstIndex(of: "FAILED") ?? 0
    #expect(mixed[1][place + 1] == "7" && mixed[3][place + 1] == "?")
    #expect(mixed[2] == ["b", "0", "%", "9", "0", "(1/1)"])
    // As ever where nothing failed.
    #expect(!table(row("b", 0, hasFailures: false), row("c", nil, hasFailures: false))[0].contains("FAILED"))
  }
}

extension String {
  /// The lines behind a heading, without their indent.
  fileprivate func components(after heading: String) -> [String] {
    guard let range = range(of: heading) else { return [] }
    return self[range.upperBound...].split(separator: "\n").map { $0.drop { $0 == " " } }.map(String.init)
  }
}
