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
    case .attemptIntended(var intended):
      intended.token = ""
      intended.parameters.environment = intended.parameters.environment.withoutValues
      record.fact = .attemptIntended(intended)
    case .retried(var retried):
      for index in retried.jobs.indices {
        retried.jobs[index].overrides.environment = retried.jobs[index].overrides.environment.withoutValues
      }
      record.fact = .retried(retried)
    default: break
    }
    return record
  }
}

extension [String: String] {
  fileprivate var withoutValues: [String: String] { mapValues { _ in "" } }
}
