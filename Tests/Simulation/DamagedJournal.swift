import Foundation
@testable import MendCore
import MendRuntime
import MendStore

/// A journal with a past: batches that live, finished and were forgotten, written over several lives of a server; and what
/// of it everybody must find.
struct DamagedJournal {
  let directory: String
  private var random: Random
  private(set) var journals: [BatchKey: [Record]] = [:]
  private(set) var retired: [BatchKey: BatchListing] = [:]
  private(set) var notifications: [String: PendingNotification] = [:]
  private(set) var answers: [IdempotencyEntry] = []
  /// The database file at the ends of lives.
  private(set) var earlier: [Data] = []
  private var clock: Int64 = 1_000_000
  private var lastKey = 0

  static let namespaces = ["one", "two"]

  init(directory: String, seed: UInt64) {
    self.directory = directory
    random = Random(seed: seed ^ 0xDA7A)
  }

  var database: String { directory + "/journal.sqlite" }
  var now: Instant { Instant(milliseconds: clock) }

  /// - Parameter isKilled: the last life ends without a close, so that much stands in the log.
  mutating func write(isKilled: Bool) throws {
    let disk = FaultyDisk(directory: directory)
    defer { disk.remove() }
    let lives = random.below(3) + 1
    for life in 0..<lives {
      let store = try SQLiteStore(directory: directory)
      _ = try store.recover(at: now)
      for _ in 0..<(random.below(12) + 4) { try commit(to: store) }
      try retireSome(in: store)
      if random.chance(400) { try forgetSome(of: store) }
      if life == lives - 1, isKilled { disk.die() }
      try? store.close()
      earlier.append(FileManager.default.contents(atPath: database) ?? Data())
    }
  }

  private mutating func commit(to store: SQLiteStore) throws {
    clock += 1000
    var writes: [Write] = []
    for _ in 0..<(random.below(4) + 1) {
      let new = BatchKey(namespace: random.of(Self.namespaces), batchID: "b\(journals.count)-\(random.below(1000))")
      let live = journals.keys.filter { retired[$0] == nil }.sorted()
      let key = live.isEmpty || random.chance(250) ? new : random.of(live)
      for _ in 0..<(random.below(3) + 1) {
        let sequence = UInt64(journals[key]?.count ?? 0) + 1
        let record = Record(
          batch: key, sequence: sequence, at: now, cause: .caller,
          fact: sequence == 1 ? created() : documents(sequence))
        journals[key, default: []].append(record)
        writes.append(.record(record))
      }
      if random.chance(200) {
        let notification = notification(of: key)
        notifications[notification.eventID] = PendingNotification(notification: notification, attempts: 0)
        writes.append(.notification(notification))
      }
    }
    if random.chance(600) {
      lastKey += 1
      let entry = IdempotencyEntry(
        namespace: random.of(Self.namespaces), key: "k\(lastKey)", fingerprint: random.next(), batchID: "b",
        reply: .status(.init(batchID: "b", status: .paused)), expires: now + .seconds(100_000))
      answers.append(entry)
      writes.append(.idempotency(entry))
    }
    try store.commit(writes)
    if random.chance(200), let eventID = notifications.keys.sorted().first {
      clock += 1
      try store.putOff(eventID, attempts: 3, until: now)
      notifications[eventID]?.attempts = 3
    }
  }

  private mutating func created() -> Fact {
    var work = Plan.ordinary(0, &random)
    work.specification.batchName = "name"
    return .batchCreated(work.specification)
  }

  private mutating func documents(_ sequence: UInt64) -> Fact {
    let size = random.chance(50) ? 6000 : random.below(300)
    return .documentsAdded([Document(id: "d\(sequence)", uri: "file:///" + String(repeating: "x", count: size))])
  }

  private func notification(of key: BatchKey) -> MendCore.Notification {
    MendCore.Notification(
      batch: key, sequence: UInt64(journals[key]?.count ?? 0), kind: .stuck, at: now, batchName: "x", status: .running,
      health: .stuck, reason: .noProgress, message: "it does not move",
      progress: ProgressCounts(completed: 1, failed: 2, pending: 3, processing: 4, total: 10))
  }

  private mutating func retireSome(in store: SQLiteStore) throws {
    for key in journals.keys.sorted() where retired[key] == nil && random.chance(350) {
      clock += 1
      let listing = BatchListing(
        key: key, batchName: "name", bucketID: random.of(["", "bucket"]), status: random.of([.completed, .failed]),
        health: .ok, overallProgress: 99.5, totalObjects: journals[key]?.count ?? 0, failedDocuments: 0,
        currentTier: 0, totalTiers: 1,
        hasFailures: false, priority: 3, createdAt: now, completedAt: now)
      try store.retire([listing])
      retired[key] = listing
      if random.chance(300), let batch = try store.batch(key) {
        try? store.keepSnapshot(of: key, documents: batch.documents)
      }
    }
    for key in journals.keys.sorted() where random.chance(150) {
      if let batch = try store.batch(key) { try store.keepSnapshot(of: key, documents: batch.documents) }
    }
  }

  private mutating func forgetSome(of store: SQLiteStore) throws {
    for key in try store.prune(finishedBefore: now, limit: random.below(3) + 1) {
      journals[key] = nil
      retired[key] = nil
      notifications = notifications.filter { $0.value.notification.batch != key }
    }
  }

  // MARK: - Damage

  enum Damage: String, CaseIterable {
    case bit, log, zeros, misplaced, older, repeated, unreadable, mark
  }

  /// What was done to the files.
  mutating func damage(_ damage: Damage, _ disk: FaultyDisk) -> String {
    let name = damage == .log ? "journal.sqlite-wal" : damage == .mark ? "journal.sqlite-mark" : "journal.sqlite"
    let path = "\(directory)/\(name)"
    var bytes = [UInt8](FileManager.default.contents(atPath: path) ?? Data())
    guard !bytes.isEmpty else { return "nothing" }
    let pages = max(1, bytes.count / Self.pageBytes)
    // Not the first: it says what all others are.
    let page = min(pages - 1, random.below(pages) + (random.chance(950) ? 1 : 0))
    let range = page * Self.pageBytes..<min(bytes.count, (page + 1) * Self.pageBytes)
    var what = "page \(page) of \(pages)"
    switch damage {
    case .bit, .log, .mark:
      let place = random.below(bytes.count)
      bytes[place] ^= 1 << UInt8(random.below(8))
      what = "a bit of byte \(place % Self.pageBytes) of page \(place / Self.pageBytes) of \(name)"
    case .zeros: bytes.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count))
    case .misplaced:
      let other = random.below(pages)
      bytes.replaceSubrange(range, with: Array(bytes[other * Self.pageBytes..<(other + 1) * Self.pageBytes]))
      what += " is what page \(other) is"
    case .older, .repeated:
      // A write that was lost, or an old one that was made once more.
      let old = [UInt8](random.of(earlier))
      guard old.count >= range.upperBound else { return "nothing" }
      bytes.replaceSubrange(range, with: Array(old[range]))
    case .unreadable: disk.makeUnreadable(name, range)
    }
    _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
    return "\(damage): \(what)"
  }

  static let pageBytes = 4096
}
