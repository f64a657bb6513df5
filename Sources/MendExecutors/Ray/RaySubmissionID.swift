internal import MendCore

/// What an attempt is called at Ray. Derived from the attempt alone, so that a submission whose answer was lost is found
/// again: `mend_NAMESPACE_BATCH_t0-j1_2`. Ids have no underscore, so no two attempts share one.
enum RaySubmissionID {
  private static let prefix = "mend"

  static func make(_ key: AttemptKey) -> String {
    "\(prefix)_\(key.batch.namespace)_\(key.batch.batchID)_\(key.job)_\(key.number)"
  }

  /// Nil for what no attempt was ever called.
  static func attempt(_ id: String) -> AttemptKey? {
    let parts = id.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 5, parts[0] == prefix, Identifier.isValid(parts[1]), Identifier.isValid(parts[2]),
      let job = JobID(parts[3]), let number = Int(parts[4]), number > 0
    else { return nil }
    let key = AttemptKey(batch: BatchKey(namespace: parts[1], batchID: parts[2]), job: job, number: number)
    return make(key) == id ? key : nil
  }
}

/// What a job's metadata say of the attempt, for people who look at Ray, and for telling servers on one cluster apart.
enum RayMetadata {
  static let installation = "mend_installation"
  static let fence = "mend_fence"

  static func make(_ key: AttemptKey, token: String, installation: String) -> [String: String] {
    [
      "mend_namespace": key.batch.namespace, "mend_batch": key.batch.batchID, "mend_tier": String(key.job.tier),
      "mend_job": key.job.description, "mend_attempt": String(key.number), Self.installation: installation,
      fence: mark(of: token),
    ]
  }

  /// Of a job that was submitted with an attempt's metadata, under whatever id; nil where they name none.
  static func attempt(_ metadata: [String: String]) -> AttemptKey? {
    guard let namespace = metadata["mend_namespace"], Identifier.isValid(namespace),
      let batch = metadata["mend_batch"], Identifier.isValid(batch),
      let job = metadata["mend_job"].flatMap({ JobID($0) }),
      let number = metadata["mend_attempt"].flatMap({ Int($0) }), number > 0
    else { return nil }
    return AttemptKey(batch: BatchKey(namespace: namespace, batchID: batch), job: job, number: number)
  }

  /// Tells this attempt's job from one of the same name that another server submitted. No secret: the token itself is
  /// in the job's environment. FNV-1a, 64 bits.
  static func mark(of token: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in token.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }
}
