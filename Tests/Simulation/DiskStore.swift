import Foundation
import MendCore
import MendRuntime
import MendStore

/// The real store on a faulty disk: it is killed, its power is cut, and it is opened again, as the seed has it. What was
/// committed before is there afterwards, or the store is broken.
///
/// Used from the one thread of its world.
final class DiskStore: Store, @unchecked Sendable {
  private let disk: FaultyDisk
  private var base: SQLiteStore?
  private var random: Random
  /// What the mark beside the journal was; it is not synced, so a power cut may bring any of them back.
  private var marks: [Data?] = []
  private(set) var account: [String: Int] = [:]

  init(directory: String, seed: UInt64) throws {
    disk = FaultyDisk(directory: directory)
    random = Random(seed: seed ^ 0xD15C)
    base = try SQLiteStore(directory: directory)
    planFault()
  }

  func end() {
    try? base?.close()
    base = nil
    disk.remove()
  }

  private func planFault() {
    guard random.chance(700) else { return }
    disk.plan(random.of([.full, .torn, .refusedSync, .none]), after: random.below(60))
  }

  private var markPath: String { disk.directory + "/journal.sqlite-mark" }

  /// The process is gone, and half of the time the power, too. Then another one comes.
  func crash(cutsPower: Bool) throws(StoreError) {
    for fault in disk.came { account["\(fault)", default: 0] += 1 }
    disk.die()
    try? base?.close()
    base = nil
    if cutsPower {
      account["power cuts", default: 0] += 1
      disk.cutPower(&random)
      if !marks.isEmpty, random.chance(500) {
        _ = FileManager.default.createFile(atPath: markPath, contents: random.of(marks) ?? Data())
      }
    } else {
      account["kills", default: 0] += 1
    }
    disk.revive()
    base = try SQLiteStore(directory: disk.directory)
    planFault()
  }

  func reopen() throws(StoreError) { try crash(cutsPower: random.chance(500)) }

  private func opened() throws(StoreError) -> SQLiteStore {
    guard let base else { throw StoreError(operation: "disk", message: "it is closed") }
    return base
  }

  // MARK: What may fail

  func commit(_ writes: [Write]) throws(StoreError) {
    do throws(StoreError) {
      try opened().commit(writes)
    } catch {
      if error.isFull {
        // Nothing of it was written, and now there is room.
        account["full", default: 0] += 1
        try opened().probe()
        return try opened().commit(writes)
      }
      // Whether it is kept is not known before the next process looks.
      try crash(cutsPower: true)
      guard try isKept(writes) else { throw error }
    }
    marks.append(FileManager.default.contents(atPath: markPath))
    if marks.count > 20 { marks.removeFirst() }
  }

  private func isKept(_ writes: [Write]) throws(StoreError) -> Bool {
    for case .record(let record) in writes {
      return try !opened().journal(of: record.batch, after: record.sequence - 1, limit: 1).isEmpty
    }
    return false
  }

  func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) { try retire([entry]) }

  func retire(_ entries: [BatchListing]) throws(StoreError) {
    do throws(StoreError) {
      try opened().retire(entries)
    } catch {
      if !error.isFull { try crash(cutsPower: true) }
      // It may be said again.
      try opened().retire(entries)
    }
  }

  func putOff(_ eventID: String, attempts: Int, until: Instant) throws(StoreError) {
    do throws(StoreError) {
      try opened().putOff(eventID, attempts: attempts, until: until)
    } catch {
      if !error.isFull { try crash(cutsPower: true) }
      try opened().putOff(eventID, attempts: attempts, until: until)
    }
  }

  func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {
    do throws(StoreError) {
      try opened().keepSnapshot(of: key, documents: documents)
    } catch {
      if !error.isFull { try crash(cutsPower: true) }
    }
  }

  // MARK: What is read

  func recover(at now: Instant) throws(StoreError) -> Recovery {
    let recovery = try opened().recover(at: now)
    guard recovery.losses.isEmpty else {
      throw StoreError(operation: "recover", message: "it is said to be damaged: \(recovery.losses)")
    }
    return recovery
  }

  func batch(_ key: BatchKey) throws(StoreError) -> Batch? { try opened().batch(key) }
  func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?] { try opened().batches(keys) }
  func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record] {
    try opened().journal(of: batch, after: sequence)
  }
  func notifications(
    dueAt now: Instant, limit: Int, except batches: Set<BatchKey>
  ) throws(StoreError) -> [PendingNotification] {
    try opened().notifications(dueAt: now, limit: limit, except: batches)
  }
  func outboxState(except batches: Set<BatchKey>) throws(StoreError) -> OutboxState {
    try opened().outboxState(except: batches)
  }
  func retired(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing] {
    try opened().retired(namespace: namespace, status: status, bucketID: bucketID, before: cursor, limit: limit)
  }
}
