import Foundation
import MendCore
import MendRuntime
import MendStore

/// Holds what a server makes of damaged files against what was written.
struct DamageCheck {
  let journal: DamagedJournal
  let disk: FaultyDisk
  let what: String
  private(set) var broken: [String] = []
  /// What was acknowledged after the damage is missing, and whoever rebuilt the journal was told.
  private var isCut = false
  /// What was told to nobody may be missing with the log's end: that something was forgotten, put off or finished.
  private let mayLackEnd: Bool
  /// What the doctor said could not be read.
  private var faults: [String] = []
  /// What it came to, in a word or two.
  private(set) var outcome = ""

  init(journal: DamagedJournal, disk: FaultyDisk, what: String) {
    self.journal = journal
    self.disk = disk
    self.what = what
    mayLackEnd = what.contains("-wal") || what.contains("-mark")
  }

  private mutating func fail(_ sentence: String) { broken.append("\(what): \(sentence)") }

  mutating func run() {
    let store: SQLiteStore
    do throws(StoreError) {
      store = try SQLiteStore(directory: journal.directory)
    } catch {
      outcome = "refused"
      isCut = mayLackEnd
      guard error.message.contains("mend doctor") else {
        return fail("the refusal says not what to do: \(error.message)")
      }
      return rebuild()
    }
    let isReadOnly = store.damage != nil
    let asides = look(at: store)
    outcome = asides == nil ? "refused" : isReadOnly ? "read only" : asides == 0 ? "whole" : "set aside"
    let goesOn = isReadOnly || canGoOn(store)
    try? store.close()
    if !goesOn { lookAgain() }
    if asides != 0 || isReadOnly || !goesOn { rebuild() }
  }

  /// After a commit that hit a damaged page, the next server serves what can be read.
  private mutating func lookAgain() {
    do {
      let store = try SQLiteStore(directory: journal.directory)
      if store.damage == nil { fail("a commit fails, and the next server knows nothing of it: \(refusal)") }
      _ = look(at: store)
      try store.close()
      outcome = "read only later"
    } catch {
      fail("after a commit that failed nothing is served: \(error)")
    }
  }

  /// Gives how many batches are set aside; nil where it cannot be read at all.
  private mutating func look(at store: SQLiteStore) -> Int? {
    let recovery: Recovery
    do throws(StoreError) {
      recovery = try store.recover(at: journal.now)
    } catch {
      fail("nothing is recovered: \(error)")
      return nil
    }
    do throws(StoreError) {
      var place: Int64? = 0
      while let next = place { place = try store.lookThrough(from: next) }
    } catch {
      fail("nobody looks for damage: \(error)")
    }
    var told = recovery.losses + store.takeLosses() + faults + (isCut ? ["the end"] : [])
    let aside = Set(recovery.setAside.map(\.batch))
    let live = Set(recovery.batches.map(\.key))
    for batch in recovery.batches where batch.key != Self.new && !isRight(batch) {
      fail("\(batch.key.batchID) is served at \(batch.sequence) of \(journal.journals[batch.key]?.count ?? 0)")
    }
    var listed: [BatchKey: BatchListing] = [:]
    for namespace in DamagedJournal.namespaces {
      do throws(StoreError) {
        for listing in try store.retired(namespace: namespace, status: nil, bucketID: nil, before: nil, limit: 1000) {
          listed[listing.key] = listing
        }
      } catch {
        fail("nothing is listed: \(error)")
      }
    }
    for (key, listing) in listed where !mayLackEnd && journal.retired[key] != listing && !live.contains(key) {
      fail("\(key.batchID) is listed as it is not: \(listing)")
    }
    told += store.takeLosses()
    for (key, records) in journal.journals.sorted(by: { $0.key < $1.key }) {
      let isRetired = journal.retired[key] != nil
      if !live.contains(key), !aside.contains(key), !(isRetired && listed[key] != nil), told.isEmpty {
        fail("\(key.batchID) is missing without a word")
      }
      if aside.contains(key) { continue }
      read(key, records, store, isToldMissing: !told.isEmpty)
    }
    lookBeside(store, recovery, told)
    return recovery.setAside.count
  }

  /// A notification may be sent more than once, so how often it was sent in vain may be as it was.
  private func isRight(_ pending: PendingNotification) -> Bool {
    if mayLackEnd || what.contains("older") || what.contains("repeated") { return true }
    return journal.notifications[pending.notification.eventID] == pending
  }

  private func isRight(_ batch: Batch) -> Bool {
    guard let records = journal.journals[batch.key] else { return mayLackEnd }
    return (try? Batch.folding(isCut ? Array(records.prefix(Int(batch.sequence))) : records)) == batch
  }

  private mutating func read(_ key: BatchKey, _ records: [Record], _ store: SQLiteStore, isToldMissing: Bool) {
    do throws(StoreError) {
      let batch = try store.batch(key)
      if batch == nil, !isToldMissing { fail("\(key.batchID) is unknown without a word") }
      if let batch, !isRight(batch) { fail("\(key.batchID) is read at \(batch.sequence)") }
    } catch {
      if error.damaged != key { fail("reading \(key.batchID): \(error)") }
    }
    do throws(StoreError) {
      let found = try store.journal(of: key, after: 0)
      let isPart = isCut && records.starts(with: found)
      if found != records, !isPart, !(found.isEmpty && isToldMissing) {
        fail("\(key.batchID) has another history of \(found.count) records, not \(records.count)")
      }
      let page = try store.journal(of: key, after: 1, limit: 2)
      if page != Array(records.dropFirst().prefix(2)), !isPart, !(page.isEmpty && isToldMissing) {
        fail("\(key.batchID) has another page of history")
      }
    } catch {
      if error.damaged != key { fail("reading the history of \(key.batchID): \(error)") }
    }
  }

  private mutating func lookBeside(_ store: SQLiteStore, _ recovery: Recovery, _ told: [String]) {
    for entry in recovery.idempotency where !journal.answers.contains(entry) {
      fail("another answer is remembered: \(entry)")
    }
    do throws(StoreError) {
      let found = try store.notifications(dueAt: .distantFuture, limit: 1000)
      for pending in found where !isRight(pending) {
        fail("somebody is told what is not: \(pending)")
      }
      let losses = told + store.takeLosses()
      if !mayLackEnd, found.count != journal.notifications.count, losses.isEmpty {
        fail("a notification is missing without a word")
      }
    } catch {
      fail("nobody is told anything: \(error)")
    }
  }

  private static let new = BatchKey(namespace: "three", batchID: "new")

  /// Why one was not.
  private var refusal = ""

  /// A new batch is taken.
  private mutating func canGoOn(_ store: SQLiteStore) -> Bool {
    var random = Random(seed: 1)
    let key = Self.new
    let sequence = UInt64((try? store.journal(of: key, after: 0))?.count ?? 0) + 1
    let record = Record(
      batch: key, sequence: sequence, at: journal.now, cause: .caller,
      fact: sequence == 1
        ? .batchCreated(Plan.ordinary(0, &random).specification)
        : .documentsAdded([Document(id: "d\(sequence)", uri: "file:///d")]))
    do throws(StoreError) {
      try store.commit([.record(record)])
      if try store.batch(key)?.sequence != sequence { fail("what was committed is not there") }
      return true
    } catch {
      refusal = "\(error)"
      return false
    }
  }

  /// What the doctor makes of it is a journal like any other.
  private mutating func rebuild() {
    do throws(StoreError) {
      let doctor = try JournalDoctor(directory: journal.directory, version: "1")
      _ = try doctor.examine()
      faults = try doctor.rebuild(at: journal.now).faults
    } catch {
      // Nothing of it can be read.
      outcome += ", lost"
      return
    }
    disk.makeReadable()
    do {
      let store = try SQLiteStore(directory: journal.directory)
      if let damage = store.damage { fail("what was rebuilt is damaged: \(damage)") }
      _ = look(at: store)
      if !canGoOn(store) { fail("what was rebuilt takes nothing new") }
      try store.close()
    } catch {
      fail("what was rebuilt is refused: \(error)")
    }
  }
}
