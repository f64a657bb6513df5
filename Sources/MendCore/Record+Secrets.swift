extension Record {
  /// What may leave the server: without attempt tokens, and without the values of environments.
  public var withoutSecrets: Record {
    var record = self
    switch fact {
    case .batchCreated(var specification):
      for tier in specification.tiers.indices {
        for extractor in specification.tiers[tier].extractors.indices {
          specification.tiers[tier].extractors[extractor].environment =
            specification.tiers[tier].extractors[extractor].environment.withoutValues
        }
      }
      record.fact = .batchCreated(specification)
    case .attemptIntended(let job, let number, token: _, var parameters):
      parameters.environment = parameters.environment.withoutValues
      record.fact = .attemptIntended(job, number: number, token: "", parameters)
    case .retried(let tier, var jobs, let actor, let initiative):
      for index in jobs.indices { jobs[index].overrides.environment = jobs[index].overrides.environment.withoutValues }
      record.fact = .retried(tier: tier, jobs: jobs, actor: actor, by: initiative)
    default: break
    }
    return record
  }
}

extension [String: String] {
  fileprivate var withoutValues: [String: String] { mapValues { _ in "" } }
}
