internal import MendCore

/// What an entrypoint finds in its environment: a small base, the attempt's own settings, and the MEND_* variables, of
/// which the later ones win. Nothing else of the server's.
enum AttemptEnvironment {
  static let tokenName = "MEND_ATTEMPT_TOKEN"

  /// Taken over from the server where it has them: where programs and their libraries are, and how to speak.
  static let inherited = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"]
  static let fallback = ["PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8"]

  /// Set for the job by its author, or known to it alone.
  static func isJobsOwn(_ name: String) -> Bool {
    if name.hasPrefix("MEND_") { return name == tokenName }
    return !inherited.contains(name) && name != "TMPDIR"
  }

  /// `mend report` is found without a path: the program's directory comes last in PATH.
  static func base(of server: [String: String], mendBinary: String) -> [String: String] {
    var base = fallback
    for name in inherited { base[name] = server[name] ?? base[name] }
    if let slash = mendBinary.lastIndex(of: "/") { base["PATH", default: ""] += ":\(mendBinary[..<slash])" }
    return base
  }

  static func variables(
    base: [String: String], key: AttemptKey, launch: Launch, endpoint: String, directory: AttemptDirectory
  ) -> [String: String] {
    var variables = base
    variables["TMPDIR"] = directory.work
    // A name with "=" or nothing in it would be read as another variable.
    for (name, value) in launch.parameters.environment where !name.isEmpty && !name.contains("=") {
      variables[name] = value
    }
    variables["MEND_ENDPOINT"] = endpoint
    variables[tokenName] = launch.token
    variables["MEND_NAMESPACE"] = key.batch.namespace
    variables["MEND_BATCH_ID"] = key.batch.batchID
    variables["MEND_TIER"] = String(key.job.tier)
    variables["MEND_JOB_ID"] = key.job.description
    variables["MEND_ATTEMPT"] = String(key.number)
    variables["MEND_MANIFEST"] = directory.manifest
    return variables
  }
}
