internal import MendCore

/// The name of an attempt's job at Ray: `mend_NAMESPACE_BATCH_t0-j1_2`. It follows from the attempt, so that a submission
/// whose answer was lost is found again. Ids have no underscore, so no two attempts share a name.
enum RaySubmissionID {
  private static let prefix = "mend"

  static func make(_ key: AttemptKey) -> String {
    "\(prefix)_\(key.batch.namespace)_\(key.batch.batchID)_\(key.job)_\(key.number)"
  }

  /// Returns the attempt of that name; nil if no attempt can have it.
  static func attempt(_ id: String) -> AttemptKey? {
    let parts = id.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 5, parts[0] == prefix, Identifier.isValid(parts[1]), Identifier.isValid(parts[2]),
      let job = JobID(parts[3]), let number = Int(parts[4]), number > 0
    else { return nil }
    let key = AttemptKey(batch: BatchKey(namespace: parts[1], batchID: parts[2]), job: job, number: number)
    return make(key) == id ? key : nil
  }
}

/// A job's metadata at Ray: they describe the attempt for people, and tell the servers that share a cluster apart.
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

  /// Returns the attempt that a job's metadata name, whatever its id; nil if they name none.
  static func attempt(_ metadata: [String: String]) -> AttemptKey? {
    guard let namespace = metadata["mend_namespace"], Identifier.isValid(namespace),
      let batch = metadata["mend_batch"], Identifier.isValid(batch),
      let job = metadata["mend_job"].flatMap({ JobID($0) }),
      let number = metadata["mend_attempt"].flatMap({ Int($0) }), number > 0
    else { return nil }
    return AttemptKey(batch: BatchKey(namespace: namespace, batchID: batch), job: job, number: number)
  }

  /// Returns a mark that tells this attempt's job from one of the same name of another server. It need not be secret: the
  /// token is in the job's environment. FNV-1a, 64 bits.
  static func mark(of token: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in token.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }
}
