import MendAPI
import MendCore
import MendProtobuf

/// An enum of the core with its counterpart in the schema: the same values under the same numbers.
protocol SchemaPair: SchemaEnum {
  associatedtype Wire: Enum
}

extension Enum {
  init<Value: SchemaPair>(_ value: Value) where Value.Wire == Self { self.init(rawValue: value.number) }
}

extension SchemaPair {
  /// Nil for "unspecified" and for numbers that this version does not know; the caller decides whether that is a default
  /// or a fault.
  init?(_ wire: Wire) { self.init(number: wire.rawValue) }
}

extension MendCore.BatchStatus: SchemaPair { typealias Wire = MendAPI.BatchStatus }
extension MendCore.TierStatus: SchemaPair { typealias Wire = MendAPI.TierStatus }
extension MendCore.JobStatus: SchemaPair { typealias Wire = MendAPI.JobStatus }
extension MendCore.DocumentStatus: SchemaPair { typealias Wire = MendAPI.DocumentStatus }
extension MendCore.Health: SchemaPair { typealias Wire = MendAPI.Health }
extension MendCore.HealthReason: SchemaPair { typealias Wire = MendAPI.HealthReason }
extension MendCore.FailureCategory: SchemaPair { typealias Wire = MendAPI.FailureCategory }
extension MendCore.FailureCause: SchemaPair { typealias Wire = MendAPI.FailureCause }
extension MendCore.Confidence: SchemaPair { typealias Wire = MendAPI.Confidence }
extension MendCore.Risk: SchemaPair { typealias Wire = MendAPI.Risk }
extension Insight.Severity: SchemaPair { typealias Wire = MendAPI.Severity }
extension MendCore.ExecutorKind: SchemaPair { typealias Wire = MendAPI.ExecutorKind }
extension MendCore.RetryRule.Action: SchemaPair { typealias Wire = MendAPI.RetryAction }
extension MendCore.RetryScope: SchemaPair { typealias Wire = MendAPI.RetryScope }
extension MendCore.HealAction: SchemaPair { typealias Wire = MendAPI.HealAction }
