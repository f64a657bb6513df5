import MendCore
import Synchronization

/// Encoded Diagnose answers: one a batch, good for one journal position and one second.
///
/// Within that second the same question gives the same bytes, whoever asks; what the answer says of time is then at
/// most a second old. Bounded by entries and bytes in each of its parts, which have a lock each, so that loops rarely
/// meet.
final class DiagnosisCache: Sendable {
  fileprivate struct Entry {
    var sequence: UInt64
    var second: Int64
    var bytes: [UInt8]
  }

  fileprivate final class Part: Sendable {
    struct State {
      var entries: [BatchKey: Entry] = [:]
      var byteCount = 0
    }
    let state = Mutex(State())
  }

  private let parts: [Part]
  private let entriesPerPart: Int
  private let bytesPerPart: Int

  /// - Parameters:
  ///   - entries: batches that are asked about at once; far more than a server has running.
  ///   - bytes: an answer has some kilobytes, one of a batch of a thousand jobs some megabytes.
  init(parts: Int = 16, entries: Int = 8192, bytes: Int = 64 << 20) {
    self.parts = (0..<parts).map { _ in Part() }
    entriesPerPart = max(1, entries / parts)
    bytesPerPart = max(1, bytes / parts)
  }

  /// Appends the answer that is kept, if it is of this position and second; false when there is none.
  func append(_ key: BatchKey, sequence: UInt64, second: Int64, to response: inout [UInt8]) -> Bool {
    let bytes = part(of: key).state.withLock { state -> [UInt8]? in
      guard let entry = state.entries[key], entry.sequence == sequence, entry.second == second else { return nil }
      return entry.bytes
    }
    guard let bytes else { return false }
    response += bytes
    return true
  }

  /// Keeps an answer, in place of an older one of the same batch. One that is larger than a part is not kept.
  func store(_ bytes: [UInt8], _ key: BatchKey, sequence: UInt64, second: Int64) {
    guard bytes.count <= bytesPerPart else { return }
    part(of: key).state.withLock { state in
      state.remove(key)
      if state.entries.count >= entriesPerPart || state.byteCount + bytes.count > bytesPerPart {
        // What is left from earlier seconds answers nobody any more.
        for (old, entry) in state.entries where entry.second < second { state.remove(old) }
      }
      if state.entries.count >= entriesPerPart || state.byteCount + bytes.count > bytesPerPart {
        state = Part.State()
      }
      state.entries[key] = Entry(sequence: sequence, second: second, bytes: bytes)
      state.byteCount += bytes.count
    }
  }

  private func part(of key: BatchKey) -> Part {
    // The ends of ids differ most.
    let mix = key.batchID.utf8.suffix(8).reduce(UInt(0)) { $0 &* 31 &+ UInt($1) }
    return parts[Int(mix % UInt(parts.count))]
  }
}

extension DiagnosisCache.Part.State {
  fileprivate mutating func remove(_ key: BatchKey) {
    if let entry = entries.removeValue(forKey: key) { byteCount -= entry.bytes.count }
  }
}
