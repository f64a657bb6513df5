import ArgumentParser
import MendCore

/// One `--quota NAMESPACE=cpus:4,memory:8GiB,gpus:1,batches:100`.
struct QuotaOption: Hashable, Sendable {
  var namespace: String
  var quota: Quota

  static let accepted =
    "expected NAMESPACE=BOUND,... with the bounds cpus:NUMBER, memory:SIZE, gpus:NUMBER and batches:NUMBER, such as "
    + "team=cpus:4,memory:8GiB,batches:100; up to 1000000 CPUs and GPUs, and 65536TiB"
}

extension QuotaOption: ExpressibleByArgument {
  /// For `@Option(transform:)`. The error says what is accepted.
  static func option(_ text: String) throws -> QuotaOption {
    guard let option = QuotaOption(argument: text) else {
      throw ValidationError("invalid quota '\(text)'; \(accepted).")
    }
    return option
  }

  init?(argument: String) {
    guard let equals = argument.firstIndex(of: "=") else { return nil }
    namespace = String(argument[..<equals])
    guard namespace == "*" || Identifier.isValid(namespace) else { return nil }
    quota = Quota()
    let bounds = argument[argument.index(after: equals)...].split(separator: ",", omittingEmptySubsequences: false)
    for bound in bounds {
      let parts = bound.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
      guard parts.count == 2, take(parts[0], parts[1]) else { return nil }
    }
  }

  /// False if it is not a bound, or the second of its kind.
  private mutating func take(_ name: String, _ value: String) -> Bool {
    switch name {
    case "cpus":
      guard quota.cpus == nil, let cpus = Double(value), (0...ValueLimit.cpus).contains(cpus) else { return false }
      quota.cpus = cpus
    case "memory":
      guard quota.memoryBytes == nil, let memory = Size.parse(value) else { return false }
      quota.memoryBytes = memory
    case "gpus":
      guard quota.gpus == nil, let gpus = Int(value), (0...ValueLimit.gpus).contains(gpus) else { return false }
      quota.gpus = gpus
    case "batches":
      guard quota.batches == nil, let batches = Int(value), (0...ValueLimit.count).contains(batches) else {
        return false
      }
      quota.batches = batches
    default:
      return false
    }
    return true
  }

  /// The quotas by namespace. Naming a namespace twice is wrong usage.
  static func quotas(_ options: [QuotaOption]) throws -> [String: Quota] {
    var quotas: [String: Quota] = [:]
    for option in options {
      guard quotas.updateValue(option.quota, forKey: option.namespace) == nil else {
        throw ValidationError("--quota names namespace \(option.namespace) twice: combine them.")
      }
    }
    return quotas
  }
}
