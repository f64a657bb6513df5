import MendCore

/// Makes a plan small that breaks an invariant: leaves out, part by part, what the same invariant breaks without.
struct Shrinker {
  let seed: UInt64
  let invariant: Invariant
  private(set) var plan: Plan
  private(set) var runs = 0
  private var steps = 0
  /// A run takes a thousand steps, and some ten milliseconds; one that does not end a hundred times as many.
  static let stepsAtMost = 600_000

  private var goesOn: Bool { steps < Self.stepsAtMost }

  init(seed: UInt64, plan: Plan, invariant: Invariant) {
    (self.seed, self.plan, self.invariant) = (seed, plan, invariant)
  }

  mutating func shrink() {
    var isSmaller = true
    while isSmaller, goesOn {
      isSmaller = false
      leaveOutBatches()
      for change in Self.changes(of: plan) where goesOn {
        var smaller = plan
        guard change(&smaller), breaks(smaller) else { continue }
        plan = smaller
        isSmaller = true
      }
    }
  }

  private mutating func breaks(_ plan: Plan) -> Bool {
    runs += 1
    let world = World(seed: seed, plan: plan, store: .inMemory())
    _ = world.run()
    steps += world.steps
    return world.brokenInvariant == invariant
  }

  /// Halves, then quarters, down to each.
  private mutating func leaveOutBatches() {
    var size = plan.batches.count / 2
    while size > 0, goesOn {
      var first = 0
      while first < plan.batches.count, plan.batches.count > size, goesOn {
        var smaller = plan
        smaller.batches.removeSubrange(first..<min(first + size, plan.batches.count))
        if breaks(smaller) { plan = smaller } else { first += size }
      }
      size /= 2
    }
  }

  /// Each takes one thing away; false where it is not there.
  private static func changes(of plan: Plan) -> [(inout Plan) -> Bool] {
    var changes: [(inout Plan) -> Bool] = []
    func off(_ path: WritableKeyPath<Plan, Int>) {
      changes.append { plan in
        defer { plan[keyPath: path] = 0 }
        return plan[keyPath: path] != 0
      }
    }
    for path: WritableKeyPath<Plan, Int> in [
      \.crashes, \.losses, \.duplicates, \.hiccups, \.lies, \.snapshots, \.refusals,
    ] { off(path) }
    func dropEach<Element>(_ path: WritableKeyPath<Plan, [Element]>) {
      for place in plan[keyPath: path].indices.reversed() {
        changes.append { plan in
          guard plan[keyPath: path].indices.contains(place) else { return false }
          plan[keyPath: path].remove(at: place)
          return true
        }
      }
    }
    dropEach(\.kills)
    dropEach(\.outages)
    dropEach(\.changes)
    changes.append { plan in
      defer { plan.reboot = nil }
      return plan.reboot != nil
    }
    changes.append { plan in
      defer { plan.quotas = [:] }
      return !plan.quotas.isEmpty
    }
    for number in plan.batches.indices {
      changes += self.changes(of: number, plan.batches[number]).map { change in
        { plan in plan.batches.indices.contains(number) && change(&plan.batches[number]) }
      }
    }
    return changes
  }

  private static func changes(of number: Int, _ work: Plan.Work) -> [(inout Plan.Work) -> Bool] {
    var changes: [(inout Plan.Work) -> Bool] = []
    for place in work.acts.indices.reversed() {
      changes.append { work in
        guard work.acts.indices.contains(place) else { return false }
        work.acts.remove(at: place)
        return true
      }
    }
    changes.append { work in
      defer { work.retries = 0 }
      return work.retries > 0
    }
    changes.append { work in
      guard work.specification.tiers.count > 1 else { return false }
      work.specification.tiers.removeLast()
      return true
    }
    changes.append { work in
      defer {
        (work.specification.timeout, work.specification.autoHeal, work.specification.maxConcurrent) = (nil, nil, 0)
      }
      return work.specification.timeout != nil || work.specification.autoHeal != nil
        || work.specification.maxConcurrent > 0
    }
    for documents in [work.documents / 2, work.documents - 1] {
      changes.append { work in
        guard documents > 0, documents < work.documents else { return false }
        work.documents = documents
        return true
      }
    }
    for tier in work.specification.tiers.indices {
      for extractor in work.specification.tiers[tier].extractors.indices.reversed() {
        changes += self.changes(tier, extractor, work.specification.tiers[tier].extractors[extractor])
      }
    }
    return changes
  }

  private static func changes(
    _ tier: Int, _ extractor: Int, _ specification: ExtractorSpecification
  ) -> [(inout Plan.Work) -> Bool] {
    func change(_ body: @escaping (inout ExtractorSpecification) -> Bool) -> (inout Plan.Work) -> Bool {
      { work in
        guard work.specification.tiers.indices.contains(tier),
          work.specification.tiers[tier].extractors.indices.contains(extractor)
        else { return false }
        return body(&work.specification.tiers[tier].extractors[extractor])
      }
    }
    var changes: [(inout Plan.Work) -> Bool] = [
      { work in
        guard work.specification.tiers.indices.contains(tier), work.specification.tiers[tier].extractors.count > 1,
          work.specification.tiers[tier].extractors.indices.contains(extractor)
        else { return false }
        work.specification.tiers[tier].extractors.remove(at: extractor)
        return true
      },
      change { extractor in
        defer { extractor.shards = 1 }
        return extractor.shards > 1
      },
    ]
    for place in specification.retryRules.indices.reversed() {
      changes.append(
        change { extractor in
          guard extractor.retryRules.indices.contains(place) else { return false }
          extractor.retryRules.remove(at: place)
          return true
        })
    }
    let (text, isEntrypoint) =
      switch specification.work {
      case .documentCommand(let text): (text, false)
      case .entrypoint(let text): (text, true)
      }
    let words = text.split(separator: " ").map(String.init)
    for place in words.indices.dropFirst().reversed() {
      changes.append(
        change { extractor in
          var words = words
          words.remove(at: place)
          let text = words.joined(separator: " ")
          guard
            extractor.work
              == (isEntrypoint ? .entrypoint(specification.work.text) : .documentCommand(specification.work.text))
          else { return false }
          extractor.work = isEntrypoint ? .entrypoint(text) : .documentCommand(text)
          return true
        })
    }
    return changes
  }
}

extension ExtractorSpecification.Work {
  var text: String {
    switch self {
    case .documentCommand(let text), .entrypoint(let text): text
    }
  }
}
