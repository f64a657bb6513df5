import Foundation
import GRDB
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

/// What a batch's journal comes to is kept, and is never more than a cache of it.
@Suite final class SnapshotTests {
  let directory: TemporaryDirectory
  let key = BatchKey(namespace: "n", batchID: "b")
  var sequence: UInt64 = 0

  init() throws { directory = try TemporaryDirectory() }

  func record(_ fact: Fact) -> MendCore.Record {
    sequence += 1
    return MendCore.Record(
      batch: key, sequence: sequence, at: Instant(milliseconds: Int64(sequence) * 1000), cause: .clock, fact: fact)
  }

  /// A submitted batch that every kind of fact has happened to.
  func records() -> [MendCore.Record] {
    let extractor = ExtractorSpecification(
      name: "text", work: .entrypoint("run"), shards: 8, environment: ["A": "1"], timers: Timers(run: .seconds(9)),
      retryRules: RetryRule.defaults)
    let tiers = (0..<3).map { _ in TierSpecification(extractors: [extractor]) }
    var records = [record(.batchCreated(BatchSpecification(timeout: .seconds(5), tiers: tiers)))]
    records.append(record(.documentsAdded((0..<1000).map { Document(id: "d\($0)", uri: "file:///d\($0)") })))
    records.append(record(.batchStatusChanged(.init(.queued, reason: ""))))
    for number in 1...3 {
      for fact in Samples.facts {
        guard case .attemptIntended(let intended) = fact else { continue }
        records.append(
          record(.attemptIntended(.init(intended.job.attempt(number), token: intended.token, intended.parameters))))
      }
    }
    for fact in Samples.facts.dropFirst(2) {
      if case .attemptIntended = fact { continue }
      records.append(record(fact))
    }
    records.append(
      record(
        .retried(
          .init(
            tier: 1,
            jobs: [
              Fact.RetriedJob(
                job: Samples.job, overrides: Job.Overrides(runTimeout: .some(nil)), reopened: DocumentSet([9]))
            ], actor: "x"))))
    return records
  }

  func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  func recovered() throws -> Batch? {
    let store = try open()
    defer { try? store.close() }
    let batches = try store.recover(at: Instant(milliseconds: 0)).batches
    #expect(batches.count == 1)
    #expect(try store.batch(key) == batches.first)
    return batches.first
  }

  func change(_ sql: String) throws {
    let queue = try DatabaseQueue(path: directory.path + "/journal.sqlite")
    try queue.write { try $0.execute(sql: sql) }
    try queue.close()
    // Rows that go are missed otherwise.
    try FileManager.default.removeItem(atPath: directory.path + "/journal.sqlite-mark")
  }

  @Test("a snapshot and what came after it make the same batch as the whole journal")
  func sameBatch() throws {
    let records = records()
    let whole = try #require(try Batch.folding(records))
    for cut in [3, records.count / 2, records.count] {
      for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
        try FileManager.default.removeItem(atPath: directory.path + "/" + name)
      }
      let store = try open()
      for record in records.prefix(cut) { try store.commit([.record(record)]) }
      try store.keepSnapshot(of: key, documents: whole.documents)
      for record in records.dropFirst(cut) { try store.commit([.record(record)]) }
      #expect(try store.batch(key) == whole)
      try store.close()
      #expect(try recovered() == whole, "cut at \(cut)")
      // Another one goes on from it.
      let again = try open()
      _ = try again.recover(at: Instant(milliseconds: 0))
      try again.keepSnapshot(of: key, documents: whole.documents)
      try again.close()
      #expect(try recovered() == whole)
      // What it holds is not read again.
      try change("DELETE FROM journal")
      #expect(try recovered() == whole)
    }
  }

  @Test("a snapshot that is damaged, or of another build, is as none")
  func unusable() throws {
    let records = records()
    let whole = try #require(try Batch.folding(records))
    let store = try open()
    try store.commit(records.map { .record($0) })
    try store.keepSnapshot(of: key, documents: whole.documents)
    try store.close()
    for sql in [
      "UPDATE snapshots SET program = program + 1", "UPDATE snapshots SET checksum = checksum + 1 WHERE part = 1",
      "UPDATE snapshots SET payload = x'07ffff' WHERE part = 0", "DELETE FROM snapshots WHERE part = 1",
    ] {
      try change(sql)
      #expect(try recovered() == whole, "\(sql)")
    }
  }

  @Test("a batch that still takes documents has no snapshot")
  func notSubmitted() throws {
    let records = records().prefix(2)
    let store = try open()
    try store.commit(records.map { .record($0) })
    let batch = try #require(try Batch.folding(Array(records)))
    try store.keepSnapshot(of: key, documents: batch.documents)
    #expect(try store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM snapshots") } == 0)
    try store.close()
  }

  @Test("what is read after bytes were changed is refused or a value, never a crash")
  func damagedBytes() throws {
    var batch = try #require(try Batch.folding(records()))
    batch.documents = DocumentTable()
    let bytes = try SnapshotEncoder.encode(batch)
    #expect(try SnapshotDecoder.decode(Batch.self, from: bytes) == batch)
    var generator = SystemRandomNumberGenerator()
    for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 200)) {
      #expect(throws: (any Error).self) { try SnapshotDecoder.decode(Batch.self, from: Array(bytes.prefix(length))) }
      var changed = bytes
      changed[length] ^= UInt8.random(in: 1...255, using: &generator)
      _ = try? SnapshotDecoder.decode(Batch.self, from: changed)
    }
  }
}
