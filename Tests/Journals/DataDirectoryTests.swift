import Foundation
import MendRuntime
import MendStore
import TestSupport
import Testing

@testable import MendCore

/// A data directory whose server was killed, as the present program opens it.
@Suite("Data directories of earlier releases", .timeLimit(.minutes(5)))
struct DataDirectoryTests {
  private let archive = JournalArchive.firstRelease

  /// Before any of the answers that it kept expires.
  private static let now = Instant(milliseconds: 0)

  @Test("What was kept is there, and every journal folds to what it was")
  func opens() throws {
    let directory = try unpack()
    let store = try SQLiteStore(directory: directory.path)
    try store.check()
    let recovery = try store.recover(at: Self.now)
    #expect(recovery.setAside.isEmpty && recovery.losses.isEmpty, "\(recovery.setAside) \(recovery.losses)")
    let contents = try DirectoryDigest(of: store, namespaces: ["default", "team"], at: Self.now)
    try GoldenText(name: "contents.digests", in: archive).compare(contents.lines)
    // Each batch is as its journal in the archive, which was made from this directory.
    for journal in try archive.journals("directory") {
      let records = try journal.records.map { try RecordForms.record($0, of: journal.key) }
      #expect(try store.journal(of: journal.key, after: 0) == records, "\(journal.name)")
      let batch = try store.batch(journal.key)
      #expect(try batch == Batch.folding(records), "\(journal.name)")
      if let live = recovery.batches.first(where: { $0.key == journal.key }) {
        #expect(live == batch, "\(journal.name)")
      }
    }
    try store.close()
  }

  @Test("What was learnt of starts is known again by the work that it was learnt from")
  func starts() throws {
    let directory = try unpack()
    let store = try SQLiteStore(directory: directory.path)
    let learnt = Set(try store.recover(at: Self.now).starts.map(\.shape))
    var known: Set<UInt64> = []
    for journal in try archive.journals("directory") {
      for bytes in try journal.records {
        guard case .attemptIntended(let intended) = try RecordForms.record(bytes, of: journal.key).fact
        else {
          continue
        }
        known.insert(StartStatistics.shape(of: intended.parameters, in: journal.key.namespace))
      }
    }
    #expect(!learnt.isEmpty && learnt.isSubset(of: known))
    try store.close()
  }

  private func unpack() throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for file in ["journal.sqlite", "journal.sqlite-wal"] {
      try Data(archive.bytes(of: file)).write(to: URL(filePath: directory.path + "/" + file))
    }
    return directory
  }
}
