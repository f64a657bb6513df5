import MendCore

// Numbers of a journal, brought within what the core takes: an older server took some that would overflow, and a file may
// have been changed by hand.

extension MendCore.Instant {
  init(_ milliseconds: Int64) { self.init(milliseconds: milliseconds.clamped(to: ValueLimit.milliseconds)) }
}

extension Duration {
  /// A span of time, which is never negative.
  init(journaled milliseconds: Int64) {
    self = .milliseconds(milliseconds.clamped(to: 0...Int64(ValueLimit.spanSeconds * 1000)))
  }
}

extension Int {
  /// Of things, or of bytes of a log.
  init(journaled count: Int64) { self.init(count.clamped(to: 0...Int64(ValueLimit.count))) }
}

enum JournalNumber {
  static func memory(_ bytes: Int64) -> Int64 { bytes.clamped(to: 0...ValueLimit.memoryBytes) }

  /// 0 for what is no number.
  static func cpus(_ cpus: Double) -> Double { cpus.isNaN ? 0 : cpus.clamped(to: 0...ValueLimit.cpus) }

  static func seconds(_ seconds: Double) -> Double {
    seconds.isNaN ? 0 : seconds.clamped(to: 0...ValueLimit.spanSeconds)
  }

  static func factor(_ factor: Double) -> Double { factor.isNaN ? 1 : factor.clamped(to: 1...ValueLimit.memoryFactor) }

  /// A document's place in its batch.
  static func position(_ position: some BinaryInteger) throws(JournalFault) -> Int {
    guard position < Limits().documentsPerBatch else { throw JournalFault("a document \(position)") }
    return Int(position)
  }
}

extension Comparable {
  fileprivate func clamped(to range: ClosedRange<Self>) -> Self { min(max(self, range.lowerBound), range.upperBound) }
}
