internal import MendCore

extension RayExecutor {
  /// A variable of an extractor's environment: a JSON object with further parts of Ray's runtime_env.
  static let runtimeName = "MEND_RAY_RUNTIME_ENV"

  /// Another one: a JSON object of Ray's custom resources and how much of each.
  static let resourcesName = "MEND_RAY_RESOURCES"

  /// Nil where its runtime environment or its custom resources cannot be read.
  func submission(_ key: AttemptKey, _ launch: Launch) -> RaySubmission? {
    var runtime: [String: RayJSON] = [:]
    if let text = launch.parameters.environment[Self.runtimeName] {
      guard let members = RayJSON.object(text) else { return nil }
      runtime = members
    }
    var custom: [String: Double] = [:]
    if let text = launch.parameters.environment[Self.resourcesName] {
      guard let amounts = RayJSON.amounts(text) else { return nil }
      custom = amounts
    }
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
