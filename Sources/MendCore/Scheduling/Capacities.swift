/// The capacity of each of a server's executors. What runs on one takes nothing of another's capacity.
package struct Capacities: Hashable, Sendable {
  /// The capacity of the default executor, for batches that name none.
  package private(set) var standard: Capacity
  private var others: [Capacity]
  /// Of every kind of executor that the program knows, also of those that this server lacks.
  private let traits: [ExecutorKind: ExecutorTraits]

  /// - Parameters:
  ///   - others: of further executors, one each; a second one of a kind counts for nothing.
  ///   - traits: replace those of the capacities.
  package init(_ standard: Capacity, _ others: [Capacity] = [], traits: [ExecutorKind: ExecutorTraits] = [:]) {
    self.traits = traits
    self.standard = standard
    self.others = []
    self.standard.traits = traits[standard.executor] ?? standard.traits
    for var other in others where self[other.executor] == nil {
      other.isStandard = false
      other.traits = traits[other.executor] ?? other.traits
      self.others.append(other)
    }
  }

  /// All capacities, the default executor's first.
  package var all: [Capacity] { [standard] + others }

  /// An executor's capacity; nil if the server lacks the executor.
  package subscript(executor: ExecutorKind) -> Capacity? {
    executor == standard.executor ? standard : others.first { $0.executor == executor }
  }

  /// The capacity of a batch's executor; an unknown one if the server lacks the executor.
  package func of(_ batch: Batch) -> Capacity { of(batch.specification.executor) }

  package func of(_ executor: ExecutorKind) -> Capacity {
    self[executor] ?? .unknown(executor, traits[executor] ?? ExecutorTraits())
  }

  /// Takes in what an executor reports. Reports of executors that the server lacks are ignored.
  mutating func learn(_ capacity: Capacity) {
    var capacity = capacity
    capacity.isStandard = capacity.executor == standard.executor
    capacity.traits = of(capacity.executor).traits
    if capacity.executor == standard.executor {
      standard = capacity
    } else if let place = others.firstIndex(where: { $0.executor == capacity.executor }) {
      others[place] = capacity
    }
  }

  /// Why the server cannot run batches on this executor, and how it could; nil if it can.
  func whyMissing(_ executor: ExecutorKind) -> String? {
    if self[executor] != nil { return nil }
    return "this server was started without the \(executor.rawValue) executor; \(of(executor).traits.howToAdd)"
  }
}
