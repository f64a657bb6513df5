import MendAPI
import Testing

@testable import mend

@Suite("A batch as JSON")
struct BatchSpecificationFileTests {
  @Test("The contract's example is read, field by field")
  func example() throws {
    let request = try BatchSpecificationFile.parse(
      """
      {"batch_id": "b1", "bucket_id": "reports", "batch_name": "Monthly Reports", "priority": 50, "max_concurrent": 5,
       "timeout_seconds": 3600,
       "documents": [{"document_id": "q4", "uri": "file:///srv/q4.pdf", "media_type": "document"}],
       "tiers": [{"extractors": [
         {"extractor_name": "text", "document_command": "pdftotext \\"$MEND_PATH\\" -", "collection_id": "texts", "shards": 2,
          "num_cpus": 1, "memory_bytes": 268435456, "requires_gpu": false, "env": {"LANG": "C"},
          "timers": {"start_seconds": 1200, "heartbeat_seconds": 60, "progress_seconds": 300, "run_seconds": 0},
          "retry": [{"category": "infrastructure", "cause": "oom", "action": "retry", "memory_factor": 2, "max_attempts": 3}]},
         {"extractor_name": "index", "entrypoint": "python3 -m engine.index", "collection_id": "index"}]}]}
      """, name: "spec")
    #expect(request.batchID == "b1")
    #expect(request.documents.map(\.documentID) == ["q4"])
    let batch = try #require(request.batch)
    #expect(batch.priority == 50)
    let text = batch.tiers[0].extractors[0]
    #expect(text.documentCommand == "pdftotext \"$MEND_PATH\" -")
    #expect(text.memoryBytes == 268_435_456)
    #expect(text.env == ["LANG": "C"])
    #expect(text.retry[0].cause == .oom)
    #expect(text.timers?.heartbeatSeconds == 60)
    #expect(batch.tiers[0].extractors[1].entrypoint == "python3 -m engine.index")
  }

  @Test(
    "A fault says where it is and what is near",
    arguments: [
      (#"{"tires": []}"#, ["spec", "'tires'", "tiers"]), (#"{"document": []}"#, ["'document'", "documents"]),
      (#"{"tiers": [{"extractors": [{"num_cpu": 1}]}]}"#, ["tiers[0].extractors[0]", "num_cpu", "num_cpus"]),
      (#"{"tiers": [{"extractors": [{"memory_bytes": "much"}]}]}"#, ["tiers[0].extractors[0].memory_bytes"]),
      ("[]", ["expected an object"]), ("{", ["1:2"]),
    ])
  func faults(_ text: String, _ expected: [String]) {
    do {
      _ = try BatchSpecificationFile.parse(text, name: "spec")
      Issue.record("it was read")
    } catch let error as ProgramError {
      #expect(error.status == .wrongUsage)
      for part in expected { #expect(error.message.contains(part), "\(error.message)") }
    } catch {
      Issue.record("\(error)")
    }
  }
}
