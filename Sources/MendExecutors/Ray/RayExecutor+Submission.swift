internal import MendCore
internal import MendProtobuf

extension RayExecutor {
  /// A variable of an extractor's environment: a JSON object with further parts of Ray's runtime_env.
  static let runtimeName = "MEND_RAY_RUNTIME_ENV"

  /// Another one: a JSON object of Ray's custom resources and how much of each.
  static let resourcesName = "MEND_RAY_RESOURCES"

  /// Nil where its runtime environment or its custom resources cannot be read.
  func submission(_ key: AttemptKey, _ launch: Launch) -> RaySubmission? {
    guard let runtime = members(of: Self.runtimeName, launch), let asked = members(of: Self.resourcesName, launch)
    else {
      return nil
    }
    let custom = asked.compactMapValues(\.amount)
    guard custom.count == asked.count else { return nil }
    let entrypoint =
      switch launch.parameters.work {
      case .entrypoint(let command): command
      case .documentCommand: settings.workerCommand
      }
    let resources = launch.parameters.resources
    return RaySubmission(
      submissionID: RaySubmissionID.make(key), entrypoint: entrypoint, environment: environment(key, launch),
      runtime: runtime, metadata: RayMetadata.make(key, token: launch.token, installation: installation),
      cpus: resources.cpus,
      gpus: resources.requiresGPU ? 1 : 0, memoryBytes: resources.memoryBytes, resources: custom)
  }

  /// The members of the JSON object that a variable holds; none where it is not set, nil where it holds something else.
  private func members(of name: String, _ launch: Launch) -> [String: JSONValue]? {
    guard let text = launch.parameters.environment[name] else { return [:] }
    guard case .object(let object)? = try? JSONValue(parsing: text) else { return nil }
    return Dictionary(object.members.map { ($0.name, $0.value) }) { $1 }
  }

  private func environment(_ key: AttemptKey, _ launch: Launch) -> [String: String] {
    var variables = ["RAY_JOB_STOP_WAIT_TIME_S": String(max(0, settings.grace.milliseconds / 1000))]
    for (name, value) in launch.parameters.environment
    where !name.isEmpty && !name.contains("=") && name != Self.runtimeName && name != Self.resourcesName {
      variables[name] = value
    }
    variables["MEND_ENDPOINT"] = settings.workerEndpoint
    variables["MEND_ATTEMPT_TOKEN"] = launch.token
    variables["MEND_NAMESPACE"] = key.batch.namespace
    variables["MEND_BATCH_ID"] = key.batch.batchID
    variables["MEND_TIER"] = String(key.job.tier)
    variables["MEND_JOB_ID"] = key.job.description
    variables["MEND_ATTEMPT"] = String(key.number)
    if let token = settings.workerToken { variables["MEND_TOKEN"] = token }
    if let authorities = settings.workerAuthorities { variables["MEND_TLS_CA"] = authorities }
    return variables
  }
}

extension JSONValue {
  /// A number above 0; nil for anything else.
  fileprivate var amount: Double? {
    let amount: Double? =
      switch self {
      case .integer(let value): Double(value)
      case .unsigned(let value): Double(value)
      case .number(let value): value
      default: nil
      }
    return amount.flatMap { $0 > 0 ? $0 : nil }
  }
}
