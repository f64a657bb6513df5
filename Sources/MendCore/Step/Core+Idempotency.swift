// The same key with the same request answers the same, with another request it is refused
// (<doc:Domain#Calls>).

/// Answers by idempotency key, bounded in age, and in number for each namespace and in all: what one caller asks makes the
/// keys of none forgotten who has fewer.
struct AnswerMemory {
  private struct Key: Hashable {
    var namespace: String
    var key: String
  }

  /// Keys in the order of their answers; those before `head` are gone.
  private struct Line {
    var keys: [(key: Key, expires: Instant)] = []
    var head = 0

    var first: (key: Key, expires: Instant)? { head < keys.count ? keys[head] : nil }

    var count: Int { keys.count - head }

    mutating func keep(where holds: (Key, Instant) -> Bool) {
      keys = keys[head...].filter { holds($0.key, $0.expires) }
      head = 0
    }

    mutating func removeFirst() {
      head += 1
      if head > 1024 && head > keys.count / 2 {
        keys.removeFirst(head)
        head = 0
      }
    }
  }

  private var entries: [Key: IdempotencyEntry] = [:]
  /// All keys in the order in which they expire.
  private var order = Line()
  /// Of each namespace, with how many of its keys are remembered.
  private var namespaces: [String: (order: Line, count: Int)] = [:]
  /// Namespaces by how many of their keys are remembered, most first.
  private var largest = SortedList<Size>()

  private struct Size: Comparable {
    var count: Int
    var namespace: String

    static func < (left: Size, right: Size) -> Bool {
      (right.count, left.namespace) < (left.count, right.namespace)
    }
  }

  var count: Int { entries.count }

  /// How many places in its order are held, those of forgotten keys as well.
  var places: Int { order.count }

  /// When the next key expires; too early if it was forgotten before its time.
  var nextExpiry: Instant? { order.first?.expires }

  func entry(namespace: String, key: String) -> IdempotencyEntry? {
    entries[Key(namespace: namespace, key: key)]
  }

  /// - Parameters:
  ///   - limit: of the keys of one namespace; its oldest go first.
  ///   - limitOfAll: of all; the oldest of the namespace that has most go first.
  mutating func remember(_ entry: IdempotencyEntry, limit: Int, limitOfAll: Int) {
    let key = Key(namespace: entry.namespace, key: entry.key)
    let isNew = entries.updateValue(entry, forKey: key) == nil
    // Those that were forgotten before their time go out once they are as many as the others.
    if order.count > 2 * entries.count + 1024 { order.keep { entries[$0]?.expires == $1 } }
    order.keys.append((key, entry.expires))
    namespaces[entry.namespace, default: (Line(), 0)].order.keys.append((key, entry.expires))
    guard isNew else { return }
    count(1, in: entry.namespace)
    while namespaces[entry.namespace]?.count ?? 0 > max(1, limit), forgetOldest(of: entry.namespace) {}
    while entries.count > max(1, limitOfAll), let largest = largest.first, forgetOldest(of: largest.namespace) {}
  }

  private mutating func count(_ change: Int, in namespace: String) {
    let before = namespaces[namespace]?.count ?? 0
    if before > 0 { largest.remove(Size(count: before, namespace: namespace)) }
    if before + change > 0 { largest.insert(Size(count: before + change, namespace: namespace)) }
    namespaces[namespace]?.count = before + change
  }

  /// Forgets the oldest answer of a namespace; false if there is none.
  private mutating func forgetOldest(of namespace: String) -> Bool {
    guard let oldest = namespaces[namespace]?.order.first else { return false }
    namespaces[namespace]?.order.removeFirst()
    forget(oldest.key, expires: oldest.expires)
    return true
  }

  mutating func forget(at now: Instant) {
    while let oldest = order.first, oldest.expires <= now {
      order.removeFirst()
      forget(oldest.key, expires: oldest.expires)
      // Within its namespace it stands in the same order.
      while let first = namespaces[oldest.key.namespace]?.order.first, first.expires <= now {
        namespaces[oldest.key.namespace]?.order.removeFirst()
        forget(first.key, expires: first.expires)
      }
      if namespaces[oldest.key.namespace]?.order.first == nil { namespaces[oldest.key.namespace] = nil }
    }
  }

  /// Nothing where it was answered again since.
  private mutating func forget(_ key: Key, expires: Instant) {
    guard entries[key]?.expires == expires else { return }
    entries[key] = nil
    count(-1, in: key.namespace)
  }
}

extension Core {
  /// Recovery: what was answered before the restart is answered the same after it. In the order of the answers.
  package mutating func restore(_ entry: IdempotencyEntry) {
    answers.remember(entry, limit: limits.idempotencyKeys, limitOfAll: limits.idempotencyKeysOfAll)
  }

  /// What this command was answered before; nil when it is new, or its answer follows from the batch's state.
  ///
  /// Throws `aborted` where the key was used for another request.
  func earlierAnswer(to command: Command) throws(Refusal) -> IdempotencyEntry? {
    guard !command.idempotencyKey.isEmpty else { return nil }
    if let rule = Command.rule(brokenBy: command.idempotencyKey) {
      throw .invalid(field: "idempotency_key", rule: rule)
    }
    let entry = answers.entry(namespace: command.namespace, key: command.idempotencyKey)
    guard let entry, entry.expires > context.now else { return nil }
    guard entry.fingerprint == command.fingerprint else {
      throw .aborted(
        "idempotency_key \(command.idempotencyKey) was used for another request",
        todo: "use a new key for a new request")
    }
    return entry
  }

  /// Keeps an answer under the command's key, durably; `reply` nil says that it follows from the batch's state.
  mutating func remember(_ command: Command, batchID: String, reply: Reply?) {
    guard !command.idempotencyKey.isEmpty else { return }
    let entry = IdempotencyEntry(
      namespace: command.namespace, key: command.idempotencyKey, fingerprint: command.fingerprint, batchID: batchID,
      reply: reply, expires: context.now + limits.idempotencyAge)
    answers.remember(entry, limit: limits.idempotencyKeys, limitOfAll: limits.idempotencyKeysOfAll)
    context.output.writes.append(.idempotency(entry))
  }
}
