// The states of batches, tiers, jobs and documents (<doc:Domain#States>). Only Retry leaves a final state.

package enum BatchStatus: String, Codable, CaseIterable, SchemaEnum {
  case created, queued, running, paused, completed, failed, cancelled

  package var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
}

package enum TierStatus: String, Codable, CaseIterable, SchemaEnum {
  case pending, running, completed, failed, cancelled

  package var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
}

package enum JobStatus: String, Codable, CaseIterable, SchemaEnum {
  case pending, starting, running, cancelling, succeeded, failed, cancelled

  package var isFinal: Bool { self == .succeeded || self == .failed || self == .cancelled }
}

package enum DocumentStatus: String, Codable, CaseIterable, SchemaEnum {
  case pending, processing, completed, failed
}

/// What Diagnose says of a batch at a glance (<doc:Domain#Health>).
package enum Health: String, Codable, CaseIterable, SchemaEnum {
  case ok, scaling, stuck, degraded
}

/// Why the health is what it is; the order is the order in which reasons win.
package enum HealthReason: String, Codable, CaseIterable, SchemaEnum {
  case none
  case copy
  case storeFull = "store_full"
  case misconfigured
  case neverSchedulable = "never_schedulable"
  case quota
  case executorNotConfigured = "executor_not_configured"
  case executorUnreachable = "executor_unreachable"
  case disputed
  case paused
  case waitingForCapacity = "waiting_for_capacity"
  case coldStart = "cold_start"
  case noHeartbeat = "no_heartbeat"
  case noProgress = "no_progress"
  case partialFailures = "partial_failures"
}

/// How sure a finding is: the kernel's own account is high, an executor's field medium, a matched text medium
/// or low, exit 137 alone low.
package enum Confidence: String, Codable, CaseIterable, SchemaEnum { case low, medium, high }

package enum Risk: String, Codable, CaseIterable, SchemaEnum { case low, medium, high }

package enum ExecutorKind: String, Codable, CaseIterable, SchemaEnum { case local, ray, simulated }

extension HealthReason {
  /// Its cases stand in the order in which they win, the schema's in the order in which they came.
  package var number: Int32 {
    switch self {
    case .none: 1
    case .misconfigured: 2
    case .neverSchedulable: 3
    case .quota: 4
    case .executorUnreachable: 5
    case .disputed: 6
    case .paused: 7
    case .waitingForCapacity: 8
    case .coldStart: 9
    case .noHeartbeat: 10
    case .noProgress: 11
    case .partialFailures: 12
    case .executorNotConfigured: 13
    case .storeFull: 14
    case .copy: 15
    }
  }

  package init?(number: Int32) {
    guard let reason = Self.allCases.first(where: { $0.number == number }) else { return nil }
    self = reason
  }
}
