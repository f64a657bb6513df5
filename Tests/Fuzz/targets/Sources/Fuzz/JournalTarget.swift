import MendAPI
import MendCore
import MendProtobuf
import MendRuntime

@testable import MendStore

/// What may stand in a journal: its records, kept answers and listings, chosen by an input's first byte. Damage is told
/// of as damage, and what can be read is written back as it was.
final class JournalTarget {
  private let key = BatchKey(namespace: "n", batchID: "b")

  func run(_ input: [UInt8]) {
    guard let kind = input.first else { return }
    let bytes = Array(input.dropFirst())
    switch kind % 3 {
    case 0: records(bytes)
    case 1: answers(bytes)
    default: listing(bytes)
    }
  }

  private func records(_ bytes: [UInt8]) {
    guard let entry = try? JournalEntry(serialized: bytes) else { return }
    for message in entry.records {
      guard let record = try? message.record(of: key) else { continue }
      again(record, JournalRecord(record)) { message throws(JournalFault) in try message.record(of: key) }
    }
  }

  private func answers(_ bytes: [UInt8]) {
    guard let message = try? JournalAnswers(serialized: bytes) else { return }
    for answer in message.answers {
      guard let entry = try? answer.entry() else { continue }
      again(entry, JournalAnswer(entry)) { message throws(JournalFault) in try message.entry() }
    }
  }

  private func listing(_ bytes: [UInt8]) {
    guard let message = try? JournalListing(serialized: bytes), let listing = try? message.listing(of: key) else {
      return
    }
    again(listing, JournalListing(listing, writtenBy: message.writtenBy)) { message throws(JournalFault) in
      try message.listing(of: key)
    }
  }

  private func again<Value: Hashable, M: Message>(
    _ value: Value, _ message: M, _ read: (M) throws(JournalFault) -> Value
  ) {
    do {
      let second = try read(try M(serialized: message.serialized()))
      precondition(
        second == value || value != value, "\(Value.self) is another one after the journal: \(value) \(second)")
    } catch {
      fatalError("\(Value.self) cannot be read back: \(error)")
    }
  }
}
