// The same key with the same request answers the same, with another request it is refused
// (<doc:Domain#Calls>).

/// Answers by idempotency key, bounded in age, and in number for each namespace: what one caller asks makes nobody else's
/// keys forgotten.
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

    mutating func removeFirst() {
      head += 1
      if head > 1024 && head > keys.count / 2 {
        keys.removeFirst(head)
        head = 0
      }
    }
  }

  private var entries: [Key: IdempotencyEntry] = [:]
  /// Of all, in the order in which they expire.
  private var order = Line()
  /// Of each namespace, with how many of its keys are remembered.
  private var namespaces: [String: (order: Line, count: Int)] = [:]

  var count: Int { entries.count }

  /// Too early where a key was forgotten before its time.
  var nextExpiry: Instant? { order.first?.expires }

  func entry(namespace: String, key: String) -> IdempotencyEntry? {
    entries[Key(namespace: namespace, key: key)]
  }

  /// - Parameter limit: of the keys of one namespace; its oldest go first.
  mutating func remember(_ entry: IdempotencyEntry, limit: Int) {
    let key = Key(namespace: entry.namespace, key: entry.key)
    let isNew = entries.updateValue(entry, forKey: key) == nil
    order.keys.append((key, entry.expires))
    namespaces[entry.namespace, default: (Line(), 0)].order.keys.append((key, entry.expires))
    guard isNew else { return }
    namespaces[entry.namespace]?.count += 1
    while namespaces[entry.namespace]?.count ?? 0 > max(1, limit),
      let oldest = namespaces[entry.namespace]?.order.first
    {
      namespaces[entry.namespace]?.order.removeFirst()
      forget(oldest.key, expires: oldest.expires)
    }
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
    namespaces[key.namespace]?.count -= 1
  }
}

extension Core {
  /// Recovery: what was answered before the restart is answered the same after it. In the order of the answers.
  public mutating func restore(_ entry: IdempotencyEntry) {
    answers.remember(entry, limit: limits.idempotencyKeys)
  }

  /// What this command was answered before; nil when it is new, or its answer follows from the batch's state.
  ///
  /// Throws `aborted` where the key was used for another request.
  func earlierAnswer(to command: Command) throws(Refusal) -> IdempotencyEntry? {
    guard !command.idempotencyKey.isEmpty else { return nil }
    if command.idempotencyKey.utf8.count > Self.idempotencyKeyBytes {
      throw .invalid(field: "idempotency_key", rule: "must be at most \(Self.idempotencyKeyBytes) bytes")
    }
    let entry = answers.entry(namespace: command.namespace, key: command.idempotencyKey)
    guard let entry, entry.expires > turn.now else { return nil }
    guard entry.fingerprint == command.fingerprint else {
      throw .aborted(
        "idempotency_key \(command.idempotencyKey) was used for another request",
        todo: "use a new key for a new request")
    }
    return entry
  }

  static let idempotencyKeyBytes = 256

  /// Keeps an answer under the command's key, durably; `reply` nil says that it follows from the batch's state.
  mutating func remember(_ command: Command, batchID: String, reply: Reply?) {
    guard !command.idempotencyKey.isEmpty else { return }
    let entry = IdempotencyEntry(
      namespace: command.namespace, key: command.idempotencyKey, fingerprint: command.fingerprint, batchID: batchID,
      reply: reply, expires: turn.now + limits.idempotencyAge)
    answers.remember(entry, limit: limits.idempotencyKeys)
    turn.output.writes.append(.idempotency(entry))
  }
}
