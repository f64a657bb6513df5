// How long starts took: what the cold-start window is learnt from, by the work and what it asks for.

/// How long the latest starts of one kind of work took. Durable: written with each start, one row for each slot.
package struct StartHistory: Hashable, Sendable {
  /// Its place among `StartStatistics.slots`; a kind of work that comes later may take it over.
  package var slot: Int
  /// A fingerprint of namespace, executor, work and resources.
  package var shape: UInt64
  /// Milliseconds from the intent to the start, the latest `samplesLimit`; in a ring.
  package var samples: [UInt32]
  /// Where the next one goes once the ring is full.
  package var cursor: Int

  package static let samplesLimit = 100

  package init(slot: Int, shape: UInt64, samples: [UInt32] = [], cursor: Int = 0) {
    self.slot = slot
    self.shape = shape
    self.samples = samples
    self.cursor = cursor
  }

  mutating func add(_ sample: UInt32) {
    if samples.count < Self.samplesLimit {
      samples.append(sample)
    } else {
      cursor = samples.indices.contains(cursor) ? cursor : 0
      samples[cursor] = sample
      cursor = (cursor + 1) % Self.samplesLimit
    }
  }
}

extension StartHistory: Described {
  /// Its slot stands beside it in the journal.
  package static var blank: StartHistory { StartHistory(slot: 0, shape: 0) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.hash(1, "shape", &shape)
    try v.numbers(2, "samples_ms", &samples)
    if v.reads { samples = Array(samples.suffix(Self.samplesLimit)) }
    try v.small(3, "cursor", &cursor)
  }
}

struct StartStatistics: Sendable {
  /// Kinds of work that are remembered.
  static let slots = 1024
  /// Fewer starts than this are too few for a conclusion.
  static let samplesNeeded = 20
  /// The window is so many times the slowest start that was seen.
  static let factor: Int64 = 3
  static let longest: Duration = .seconds(3600)

  private var histories: [UInt64: StartHistory] = [:]
  private var owners: [UInt64?] = []
  private var nextSlot = 0

  /// The history as it is written.
  mutating func restore(_ history: StartHistory) {
    guard (0..<Self.slots).contains(history.slot) else { return }
    while owners.count <= history.slot { owners.append(nil) }
    if let old = owners[history.slot] { histories[old] = nil }
    owners[history.slot] = history.shape
    histories[history.shape] = history
  }

  /// Adds one start; returns the history to store.
  mutating func add(_ waited: Duration, of shape: UInt64) -> StartHistory {
    var history = histories[shape] ?? StartHistory(slot: freeSlot(), shape: shape)
    history.add(UInt32(clamping: max(0, waited.milliseconds)))
    restore(history)
    return history
  }

  /// The slots in turn, once all are taken: in the long run what is not seen again goes.
  private mutating func freeSlot() -> Int {
    if let free = owners.firstIndex(of: nil) { return free }
    if owners.count < Self.slots { return owners.count }
    nextSlot = (nextSlot + 1) % Self.slots
    return nextSlot
  }

  /// The slowest of the latest hundred, times the factor, within bounds: their 99th percentile, rounded up. nil before
  /// there is data.
  func window(of shape: UInt64, atLeast shortest: Duration) -> Duration? {
    guard let history = histories[shape], history.samples.count >= Self.samplesNeeded,
      let slowest = history.samples.max()
    else { return nil }
    return min(Self.longest, max(shortest, .milliseconds(Int64(slowest) * Self.factor)))
  }

  /// FNV-1a: the same in every process, unlike `Hasher`.
  static func shape(of parameters: SubmissionParameters, in namespace: String) -> UInt64 {
    let work =
      switch parameters.work {
      case .documentCommand(let command): "command \(command)"
      case .entrypoint(let entrypoint): "entrypoint \(entrypoint)"
      }
    let resources = parameters.resources
    let text =
      "\(namespace) \(parameters.executor.rawValue) \(resources.cpus) \(resources.memoryBytes) \(resources.requiresGPU) "
      + work
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 {
      hash ^= UInt64(byte)
      hash &*= 0x100_0000_01B3
    }
    return hash
  }
}

extension Core {
  /// Recovery: what was learnt of starts before the restart.
  package mutating func restore(_ history: StartHistory) { index.starts.restore(history) }

  /// What the next attempt is given, with the window that was learnt for it; a window that the caller set stays.
  func parameters(ofNextAttemptOf job: JobID, _ batch: Batch) -> SubmissionParameters {
    var parameters = batch.submissionParameters(of: job)
    parameters.server = server.id
    guard parameters.startWindow == Timers.defaultStart else { return parameters }
    let shape = StartStatistics.shape(of: parameters, in: batch.key.namespace)
    let shortest = capacities.of(parameters.executor).traits.shortestStartWindow
    if let window = index.starts.window(of: shape, atLeast: shortest) { parameters.startWindow = window }
    return parameters
  }

  /// A start that this server saw from its intent on.
  mutating func learnStart(of attempt: AttemptKey) {
    guard let batch = batches[attempt.batch], let place = batch.attemptIndex(attempt.job, attempt.number) else {
      return
    }
    let state = batch.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place]
    guard state.adoptedAt == nil else { return }
    let shape = StartStatistics.shape(of: state.parameters, in: attempt.batch.namespace)
    context.output.writes.append(.start(index.starts.add(context.now - state.intendedAt, of: shape)))
  }
}
