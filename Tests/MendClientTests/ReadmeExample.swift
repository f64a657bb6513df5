// README's example, with no other import than README has. ReadmeExampleTests holds the two against each other.

import MendClient

func countWords(of paths: [String]) async throws {
  // begin
  let client = MendClient(try Endpoint("127.0.0.1:7443"))
  let words = ExtractorSpecification {
    $0.extractorName = "words"
    $0.documentCommand = #"wc -w < "$MEND_PATH""#
  }
  let request = CreateBatchRequest {
    $0.batch = BatchSpecification { $0.tiers = [TierSpecification { $0.extractors = [words] }] }
    $0.documents = paths.enumerated().map { number, path in
      Document {
        $0.documentID = "d\(number)"
        $0.uri = "file://\(path)"
      }
    }
  }
  let batch = try await client.createBatch(request).batchID
  _ = try await client.submitBatch(batch)
  for try await message in client.watch(batch) where message.terminal {
    print(message.status, message.progress?.failed ?? 0)
  }
  for finding in try await client.diagnose(batch).findings { print(finding.message, finding.remedy?.command ?? "") }
  await client.close()
  // end
}
