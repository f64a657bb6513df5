import MendAPI
import MendCore

// From core to schema every value has a counterpart. From schema to core, "unspecified" and numbers that this version
// does not know are nil; the caller decides whether that is a default or a fault.

extension MendAPI.BatchStatus {
  init(_ status: MendCore.BatchStatus) {
    self =
      switch status {
      case .created: .created
      case .queued: .queued
      case .running: .running
      case .paused: .paused
      case .completed: .completed
      case .failed: .failed
      case .cancelled: .cancelled
      }
  }
}

extension MendCore.BatchStatus {
  init?(_ status: MendAPI.BatchStatus) {
    switch status {
    case .created: self = .created
    case .queued: self = .queued
    case .running: self = .running
    case .paused: self = .paused
    case .completed: self = .completed
    case .failed: self = .failed
    case .cancelled: self = .cancelled
    case .unspecified, .unrecognized: return nil
    }
  }
}

extension MendAPI.TierStatus {
  init(_ status: MendCore.TierStatus) {
    self =
      switch status {
      case .pending: .pending
      case .running: .running
      case .completed: .completed
      case .failed: .failed
      case .cancelled: .cancelled
      }
  }
}

extension MendAPI.JobStatus {
  init(_ status: MendCore.JobStatus) {
    self =
      switch status {
      case .pending: .pending
      case .starting: .starting
      case .running: .running
      case .cancelling: .cancelling
      case .succeeded: .succeeded
      case .failed: .failed
      case .cancelled: .cancelled
      }
  }
}

extension MendAPI.DocumentStatus {
  init(_ status: MendCore.DocumentStatus) {
    self =
      switch status {
      case .pending: .pending
      case .processing: .processing
      case .completed: .completed
      case .failed: .failed
      }
  }
}

extension MendAPI.Health {
  init(_ health: MendCore.Health) {
    self =
      switch health {
      case .ok: .ok
      case .scaling: .scaling
      case .stuck: .stuck
      case .degraded: .degraded
      }
  }
}

extension MendAPI.HealthReason {
  init(_ reason: MendCore.HealthReason) {
    self =
      switch reason {
      case .none: .none
      case .copy: .copy
      case .storeFull: .storeFull
      case .misconfigured: .misconfigured
      case .neverSchedulable: .neverSchedulable
      case .quota: .quota
      case .executorNotConfigured: .executorNotConfigured
      case .executorUnreachable: .executorUnreachable
      case .disputed: .disputed
      case .paused: .paused
      case .waitingForCapacity: .waitingForCapacity
      case .coldStart: .coldStart
      case .noHeartbeat: .noHeartbeat
      case .noProgress: .noProgress
      case .partialFailures: .partialFailures
      }
  }
}

extension MendAPI.FailureCategory {
  init(_ category: MendCore.FailureCategory) {
    self =
      switch category {
      case .infrastructure: .infrastructure
      case .timeout: .timeout
      case .orphaned: .orphaned
      case .pipeline: .pipeline
      }
  }
}

extension MendCore.FailureCategory {
  init?(_ category: MendAPI.FailureCategory) {
    switch category {
    case .infrastructure: self = .infrastructure
    case .timeout: self = .timeout
    case .orphaned: self = .orphaned
    case .pipeline: self = .pipeline
    case .unspecified, .unrecognized: return nil
    }
  }
}

extension MendAPI.FailureCause {
  init(_ cause: MendCore.FailureCause) {
    self =
      switch cause {
      case .oom: .oom
      case .preemption: .preemption
      case .nodeFailure: .nodeFailure
      case .engineFault: .engineFault
      case .environmentSetup: .environmentSetup
      case .startTimeout: .startTimeout
      case .heartbeatTimeout: .heartbeatTimeout
      case .progressTimeout: .progressTimeout
      case .runTimeout: .runTimeout
      case .batchTimeout: .batchTimeout
      case .orphaned: .orphaned
      case .exitCode: .exitCode
      case .signal: .signal
      case .documentErrors: .documentErrors
      case .entrypointNotFound: .entrypointNotFound
      case .badInput: .badInput
      case .resourceLimit: .resourceLimit
      }
  }
}

extension MendCore.FailureCause {
  init?(_ cause: MendAPI.FailureCause) {
    guard let found = Self.allCases.first(where: { MendAPI.FailureCause($0) == cause }) else { return nil }
    self = found
  }
}

extension MendAPI.Confidence {
  init(_ confidence: MendCore.Confidence) {
    self =
      switch confidence {
      case .low: .low
      case .medium: .medium
      case .high: .high
      }
  }
}

extension MendAPI.Risk {
  init(_ risk: MendCore.Risk) {
    self =
      switch risk {
      case .low: .low
      case .medium: .medium
      case .high: .high
      }
  }
}

extension MendAPI.Severity {
  init(_ severity: Insight.Severity) {
    self =
      switch severity {
      case .info: .info
      case .warning: .warning
      case .critical: .critical
      }
  }
}

extension MendAPI.ExecutorKind {
  init(_ kind: MendCore.ExecutorKind) {
    self =
      switch kind {
      case .local: .local
      case .ray: .ray
      case .simulated: .simulated
      }
  }
}

extension MendCore.ExecutorKind {
  init?(_ kind: MendAPI.ExecutorKind) {
    switch kind {
    case .local: self = .local
    case .ray: self = .ray
    case .simulated: self = .simulated
    case .unspecified, .unrecognized: return nil
    }
  }
}

extension MendCore.RetryRule.Action {
  init?(_ action: MendAPI.RetryAction) {
    switch action {
    case .retry: self = .retry
    case .fail: self = .fail
    case .ignore: self = .ignore
    case .unspecified, .unrecognized: return nil
    }
  }
}

extension MendAPI.RetryScope {
  init(_ scope: MendCore.RetryScope) {
    self =
      switch scope {
      case .failed: .failed
      case .all: .all
      }
  }
}

extension MendAPI.HealAction {
  init(_ action: MendCore.HealAction) {
    self =
      switch action {
      case .detectStuck: .detectStuck
      case .killDuplicates: .killDuplicates
      case .reclaimOrphans: .reclaimOrphans
      case .auto: .auto
      }
  }
}

extension MendCore.HealAction {
  init?(_ action: MendAPI.HealAction) {
    switch action {
    case .detectStuck: self = .detectStuck
    case .killDuplicates: self = .killDuplicates
    case .reclaimOrphans: self = .reclaimOrphans
    case .auto: self = .auto
    case .unspecified, .unrecognized: return nil
    }
  }
}
