/// Names one batch. Ids are unique within a namespace only.
package struct BatchKey: Hashable, Codable, Sendable, Comparable {
  package var namespace: String
  package var batchID: String

  package init(namespace: String, batchID: String) {
    self.namespace = namespace
    self.batchID = batchID
  }

  /// By the id alone: ids differ, namespaces are few, and every call looks a batch up.
  package func hash(into hasher: inout Hasher) { hasher.combine(batchID) }

  package static func < (left: BatchKey, right: BatchKey) -> Bool {
    (left.namespace, left.batchID) < (right.namespace, right.batchID)
  }
}

/// Names one job of a batch by its place: tier, then position among the tier's jobs. Written `t0-j1`.
package struct JobID: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
  package var tier: Int
  package var index: Int

  package init(tier: Int, index: Int) {
    self.tier = tier
    self.index = index
  }

  /// Parses `t0-j1`; nil for anything else.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].first == "t", parts[1].first == "j",
      let tier = Int(parts[0].dropFirst()), let index = Int(parts[1].dropFirst()), tier >= 0, index >= 0
    else { return nil }
    self.init(tier: tier, index: index)
  }

  package var description: String { "t\(tier)-j\(index)" }

  package static func < (left: JobID, right: JobID) -> Bool { (left.tier, left.index) < (right.tier, right.index) }

  /// The job's attempt of this number.
  package func attempt(_ number: Int) -> AttemptID { AttemptID(job: self, number: number) }
}

extension JobID: Described {
  package static let schemaName = "JournalJob"
  package static var blank: JobID { JobID(tier: 0, index: 0) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.small(1, "tier", &tier)
    try v.small(2, "index", &index)
  }
}

/// Names one attempt within its batch. Written `t0-j1.2`.
package struct AttemptID: Hashable, Sendable, CustomStringConvertible {
  package var job: JobID
  /// Counts from 1 within the job; 0 is nobody's: what the core does to a job's documents by itself.
  package var number: Int

  package init(job: JobID, number: Int) {
    self.job = job
    self.number = number
  }

  package var description: String { "\(job).\(number)" }
}

extension AttemptID: Described {
  package static let schemaName = "JournalAttempt"
  package static var blank: AttemptID { AttemptID(job: .blank, number: 0) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.small(1, "tier", &job.tier)
    try v.small(2, "index", &job.index)
    try v.small(3, "number", &number)
  }
}

/// Names one attempt. Its text form is the launch id: derived, never random, so that a launch whose answer was lost is
/// found again instead of repeated.
package struct AttemptKey: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var batch: BatchKey
  package var job: JobID
  /// Counts from 1 within the job.
  package var number: Int

  package init(batch: BatchKey, job: JobID, number: Int) {
    self.batch = batch
    self.job = job
    self.number = number
  }

  package static func < (left: AttemptKey, right: AttemptKey) -> Bool {
    (left.batch, left.job, left.number) < (right.batch, right.job, right.number)
  }

  /// Within its batch.
  package var id: AttemptID { AttemptID(job: job, number: number) }

  /// `NAMESPACE.BATCH.t0-j1.2`; the dot cannot occur in an id.
  package var description: String { "\(batch.namespace).\(batch.batchID).\(job).\(number)" }

  /// Parses what `description` writes; nil for anything else.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, let job = JobID(parts[2]), let number = Int(parts[3]), number > 0 else { return nil }
    self.init(
      batch: BatchKey(namespace: String(parts[0]), batchID: String(parts[1])), job: job, number: number)
  }
}

/// Names one call that waits for an answer. The runtime numbers calls; the core only hands the number back.
package struct CallID: Hashable, Sendable {
  package var rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// The rule for every id that a caller chooses: letters, digits and hyphens, 1-64 (<doc:Domain#Nouns>).
package enum Identifier {
  package static let maximumLength = 64
  package static let rule = "must be 1 to 64 letters, digits or hyphens"

  package static func isValid(_ text: String) -> Bool {
    isValid(text, besides: 0x2D, 0x2D)
  }

  /// An extractor's or a collection's: underscores and dots too.
  static func isName(_ text: String) -> Bool { isValid(text, besides: 0x5F, 0x2E) }

  private static func isValid(_ text: String, besides first: UInt8, _ second: UInt8) -> Bool {
    guard (1...maximumLength).contains(text.utf8.count) else { return false }
    // Every call passes here: a plain loop is a tenth of what `allSatisfy` over closed ranges takes.
    for byte in text.utf8 {
      let letter = byte | 0x20
      guard byte &- 0x30 < 10 || letter &- 0x61 < 26 || byte == 0x2D || byte == first || byte == second else {
        return false
      }
    }
    return true
  }
}
