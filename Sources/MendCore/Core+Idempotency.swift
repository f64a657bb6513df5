// The same key with the same request answers the same, with another request it is refused (domain.md, "The calls").

/// Answers by idempotency key, the oldest first, bounded in number and age.
struct AnswerMemory {
  private struct Key: Hashable {
    var namespace: String
    var key: String
  }

  private var entries: [Key: IdempotencyEntry] = [:]
  /// Keys in the order of their answers; those before `head` are gone.
  private var order: [Key] = []
  private var head = 0

  var count: Int { entries.count }

  var nextExpiry: Instant? { head < order.count ? entries[order[head]]?.expires : nil }

  func entry(namespace: String, key: String) -> IdempotencyEntry? {
    entries[Key(namespace: namespace, key: key)]
  }

  mutating func remember(_ entry: IdempotencyEntry, limit: Int) {
    let key = Key(namespace: entry.namespace, key: entry.key)
    if entries.updateValue(entry, forKey: key) == nil { order.append(key) }
    while entries.count > max(1, limit) { forgetOldest() }
  }

  mutating func forget(at now: Instant) {
    while let expiry = nextExpiry, expiry <= now { forgetOldest() }
  }

  private mutating func forgetOldest() {
    entries[order[head]] = nil
    head += 1
    if head > 1024 && head > order.count / 2 {
      order.removeFirst(head)
      head = 0
    }
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
