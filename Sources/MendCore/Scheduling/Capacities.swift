/// What each of a server's executors has to give. Their room is apart: what runs on one takes nothing of another's.
public struct Capacities: Hashable, Sendable {
  /// Of the executor that batches run on which name none.
  public private(set) var standard: Capacity
  private var others: [Capacity]
  /// Of every kind of executor that the program knows, also of those that this server lacks.
  private let traits: [ExecutorKind: ExecutorTraits]

  /// - Parameters:
  ///   - others: of further executors, one each; a second one of a kind counts for nothing.
  ///   - traits: replace those of the capacities.
  public init(_ standard: Capacity, _ others: [Capacity] = [], traits: [ExecutorKind: ExecutorTraits] = [:]) {
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

  /// The standard one first.
  public var all: [Capacity] { [standard] + others }

  /// Nil where the server has no such executor.
  public subscript(executor: ExecutorKind) -> Capacity? {
    executor == standard.executor ? standard : others.first { $0.executor == executor }
  }

  /// Of the executor that a batch runs on; an unknown one where the server does not have it.
  public func of(_ batch: Batch) -> Capacity { of(batch.specification.executor) }

  public func of(_ executor: ExecutorKind) -> Capacity {
    self[executor] ?? .unknown(executor, traits[executor] ?? ExecutorTraits())
  }

  /// An executor that the server has says what it has now; another one changes nothing.
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

  /// Why a batch cannot run on this executor here, and how it could; nil where it can.
  func whyMissing(_ executor: ExecutorKind) -> String? {
    if self[executor] != nil { return nil }
    return "this server was started without the \(executor.rawValue) executor; \(of(executor).traits.howToAdd)"
  }
}
