// What the core keeps beside the batches, so that a step costs what it touches. All of it follows from the batches.

struct CoreIndex {
  /// The attempts by their tokens, ended ones too, so that a late report is told from a made-up token.
  var tokens: [String: AttemptKey] = [:]
  /// The attempts that have not ended.
  var live: Set<AttemptKey> = []
  /// Attempts whose launch may never have reached the executor before the restart.
  var doubtful: Set<AttemptKey> = []
  /// Attempts of batches that were let go of, for as long as they run.
  var leftBehind: [AttemptKey: LeftBehind] = [:]
  /// The state of each executor's queue and use.
  var lanes: [ExecutorKind: Lane] = [:]
  var deadlines = Heap<Deadline>()
  /// How many `deadlines` may hold before those that are over are taken out.
  var deadlinesLimit = Self.deadlinesLimitLeast
  static let deadlinesLimitLeast = 1024
  /// The one check of each live attempt that counts; others in `deadlines` are old.
  var checks: [AttemptKey: Instant] = [:]
  var starts = StartStatistics()
  /// Batches with a retry rule for stalls: not looked up in thousands of rules at the end of each attempt.
  var ruledStalls: Set<BatchKey> = []
  /// How many batches are not final.
  var liveBatches = 0
  var specifications = SpecificationSizes()
  /// What the documents of batches take.
  var documents = MemoryUse()
  /// Order of submission within one process; after a restart by time.
  var submissions: [BatchKey: Int] = [:]
  var lastSubmission = 0
  /// The batches for the next review, and those for a later one.
  var reviewsDue: Set<BatchKey> = []
  var reviewsPutOff: Set<BatchKey> = []
  var putOffReviewedAt = Instant(milliseconds: 0)
  /// When batches that run were reviewed last.
  var reviewedAt: [BatchKey: Instant] = [:]

  /// What batches wait for, where nothing has changed since that decides it.
  var waits: [BatchKey: KnownWait] = [:]

  /// When a batch's health may turn next by time alone.
  var turns: [BatchKey: Instant] = [:]

  /// What is kept for one executor: what waits for it holds nothing up that waits for another.
  struct Lane {
    /// What live attempts hold of the executor.
    var use = ResourceUse()
    /// Batches with a job that could start.
    var queue = FairQueue()
    /// Since when the executor cannot be asked; nil while it can.
    var outage: ExecutorOutage?
    /// The scheduler has looked at a part of the queue so far.
    var brokenOff: BrokenOffPass?
  }

  /// What the namespace's live attempts hold, of all executors: a quota bounds them together.
  func use(of namespace: String) -> ResourceUse {
    lanes.values.reduce(into: ResourceUse()) { $0.add($1.queue.use(of: namespace)) }
  }

  /// Batches of the namespace that were started, and are neither final nor paused, on whatever executor.
  func started(in namespace: String) -> Int { lanes.values.reduce(0) { $0 + $1.queue.started(in: namespace) } }
}

/// What a batch waited for when it was looked up last.
struct KnownWait {
  /// Nil where no job of it could start.
  var waiting: WaitingBatch?
}

/// What an attempt holds whose batch was let go of after a fault.
struct LeftBehind {
  var executor: ExecutorKind
  var resources: Resources
}

/// What a pass of the scheduler that took too many looks leaves to the next one.
struct BrokenOffPass {
  /// What is kept for a job that has waited long.
  var reserved: Demand.Need?
  /// An attempt ended since it began.
  var cameFree: Bool
}

/// A reminder of something that is due at a time. It may be obsolete by then, so that it is checked again.
struct Deadline: Comparable, Hashable {
  enum Kind: Int, Comparable {
    case attemptCheck, backoff, batchTimeout, cancelTimeout, outage, autoHeal, retire, review, schedule
    static func < (left: Kind, right: Kind) -> Bool { left.rawValue < right.rawValue }
  }

  var at: Instant
  var kind: Kind
  var batch: BatchKey
  var job = JobID(tier: 0, index: 0)
  var number = 0

  static func < (left: Deadline, right: Deadline) -> Bool {
    if left.at != right.at { return left.at < right.at }
    return (left.kind, left.batch, left.job, left.number) < (right.kind, right.batch, right.job, right.number)
  }
}

/// A binary heap, the smallest element first.
package struct Heap<Element: Comparable & Sendable>: Sendable {
  private var elements: [Element] = []

  package init() {}

  package var first: Element? { elements.first }
  package var count: Int { elements.count }

  package mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard elements[child] < elements[parent] else { return }
      elements.swapAt(child, parent)
      child = parent
    }
  }

  /// Takes out what does not hold; costs a sort of what is left.
  package mutating func keep(where holds: (Element) -> Bool) {
    // In order is a heap as well.
    elements = elements.filter(holds).sorted()
  }

  package mutating func popFirst() -> Element? {
    guard let first = elements.first, let last = elements.popLast() else { return nil }
    guard !elements.isEmpty else { return first }
    elements[0] = last
    var parent = 0
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < elements.count {
        if elements[child] < elements[smallest] { smallest = child }
      }
      if smallest == parent { return first }
      elements.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
