import Foundation
import GRDB
import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendStore

@Suite("The journal's log stays bounded while others read, and is checked without being held")
struct LogReliefTests {
  private let directory: TemporaryDirectory
  private let key = BatchKey(namespace: "n", batchID: "b")

  init() throws { directory = try TemporaryDirectory() }

  private func record(_ sequence: UInt64) -> Write { Self.record(key, sequence) }

  private static func record(_ key: BatchKey, _ sequence: UInt64) -> Write {
    .record(
      Record(
        batch: key, sequence: sequence, at: Instant(milliseconds: 5_000), cause: .caller,
        fact: sequence == 1
          ? .batchCreated(Samples.specification)
          : .documentsAdded([Document(id: "d\(sequence)", uri: "file:///\(String(repeating: "x", count: 60_000))")])))
  }

  private final class End: Sendable {
    let isThere = Atomic(false)
  }

  private static let bound: Int64 = 12 << 20

  private struct Readers {
    private let queues: [DatabaseQueue]
    private var turn = 0

    init(_ path: String) throws {
      var configuration = Configuration()
      configuration.readonly = true
      configuration.allowsUnsafeTransactions = true
      queues = try (0..<2).map { _ in try DatabaseQueue(path: path, configuration: configuration) }
      try begin(queues[0])
    }

    private func begin(_ queue: DatabaseQueue) throws {
      try queue.inDatabase { database in
        try database.execute(sql: "BEGIN")
        _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM batches")
      }
    }

    /// The next begins before the one before it ends.
    mutating func takeTurns() throws {
      try begin(queues[(turn + 1) % 2])
      try end()
      turn += 1
    }

    func end() throws { try queues[turn % 2].inDatabase { try $0.execute(sql: "COMMIT") } }
  }

  @Test("readers that take turns keep the log from being begun anew until it is waited for them")
  func overlappingReaders() async throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
    let path = directory.path + "/journal.sqlite"
    var readers = try Readers(path)
    for sequence in UInt64(2)...300 {
      try store.commit([record(sequence)])
      try readers.takeTurns()
    }
    try readers.end()
    #expect(store.logBytes > Self.bound * 3 / 2, "they do not keep it")

    store.ledger.withLock { $0.marks.logBytesBound = Self.bound }
    let end = End()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        var readers = try Readers(path)
        while !end.isThere.load(ordering: .relaxed) {
          try readers.takeTurns()
          try await Task.sleep(for: .milliseconds(1))
        }
        try readers.end()
      }
      group.addTask { [key] in
        defer { end.isThere.store(true, ordering: .relaxed) }
        var largest: Int64 = 0
        for sequence in UInt64(301)...900 {
          try store.commit([Self.record(key, sequence)])
          if sequence > 320 { largest = max(largest, store.logBytes) }
        }
        #expect(largest < Self.bound * 3 / 2)
      }
      try await group.waitForAll()
    }
  }

  @Test("one who reads for long makes nobody wait at each commit")
  func longReader() throws {
    let store = try SQLiteStore(directory: directory.path)
    store.ledger.withLock { ledger in
      ledger.marks.logBytesBound = Self.bound
      ledger.marks.logRetryInterval = .milliseconds(500)
    }
    try store.commit([record(1)])
    let reader = try DatabaseQueue(path: directory.path + "/journal.sqlite")
    var waits = 0
    try reader.inDatabase { database in
      try database.execute(sql: "BEGIN")
      _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM batches")
      for sequence in UInt64(2)...600 {
        let began = ContinuousClock.now
        try store.commit([record(sequence)])
        if ContinuousClock.now - began >= SQLiteStore.logPatience { waits += 1 }
      }
      try database.execute(sql: "COMMIT")
    }
    try reader.close()
    let grown = store.logBytes
    #expect(grown > Self.bound && waits < 20, "\(grown) \(waits)")
    store.ledger.withLock { $0.marks.logRetryAt = .now }
    for sequence in UInt64(601)...620 { try store.commit([record(sequence)]) }
    #expect(store.logBytes < grown)
  }

  @Test("a batch that is forgotten while it is read has no journal, and no damage")
  func forgottenMeanwhile() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit((1...4).map { record(UInt64($0)) })
    try store.retire([Samples.listing("b")])
    #expect(try store.prune(finishedBefore: .distantFuture, limit: 1) == [key])
    #expect(try store.journal(of: key, after: 0).isEmpty)
    #expect(try store.batch(key) == nil)
  }

  @Test("a log is read in pieces, whatever its size")
  func pieces() throws {
    let path = directory.path + "/file"
    let bytes = (0..<(3 << 20) + 12_345).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let descriptor = unsafe Glibc.open(path, O_RDONLY)
    defer { close(descriptor) }
    var reader = LogBytes(descriptor)
    var found: [UInt8] = []
    while true {
      let piece = try reader.next(4120)
      found += piece
      if piece.count < 4120 { break }
    }
    #expect(found == bytes)
  }
}
