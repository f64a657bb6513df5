import MendAPI
import MendCore
import MendProtobuf

/// A value of the core with a number in the schema. The way there is a switch, so that a new case can't be forgotten;
/// the way back follows from it.
protocol Journaled: Equatable {
  associatedtype Wire: Enum
  static var allCases: [Self] { get }
  var wire: Wire { get }
}

extension Journaled {
  /// Refuses numbers that this version doesn't know, and the absence of one.
  init(_ wire: Wire) throws(JournalFault) {
    guard let value = Self.allCases.first(where: { $0.wire == wire }) else {
      throw JournalFault("no value \(wire.rawValue) of \(Wire.protobufName)")
    }
    self = value
  }

  /// Nil where the schema has nothing.
  static func optional(_ wire: Wire) throws(JournalFault) -> Self? {
    wire == Wire() ? nil : try Self(wire)
  }
}

extension MendCore.BatchStatus: Journaled {
  var wire: MendAPI.BatchStatus {
    switch self {
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

extension MendCore.TierStatus: Journaled {
  var wire: MendAPI.TierStatus {
    switch self {
    case .pending: .pending
    case .running: .running
    case .completed: .completed
    case .failed: .failed
    case .cancelled: .cancelled
    }
  }
}

extension MendCore.JobStatus: Journaled {
  var wire: MendAPI.JobStatus {
    switch self {
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

extension MendCore.Health: Journaled {
  var wire: MendAPI.Health {
    switch self {
    case .ok: .ok
    case .scaling: .scaling
    case .stuck: .stuck
    case .degraded: .degraded
    }
  }
}

extension MendCore.FailureCategory: Journaled {
  var wire: MendAPI.FailureCategory {
    switch self {
    case .infrastructure: .infrastructure
    case .timeout: .timeout
    case .orphaned: .orphaned
    case .pipeline: .pipeline
    }
  }
}

extension MendCore.FailureCause: Journaled {
  var wire: MendAPI.FailureCause {
    switch self {
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

extension MendCore.Confidence: Journaled {
  var wire: MendAPI.Confidence {
    switch self {
    case .low: .low
    case .medium: .medium
    case .high: .high
    }
  }
}

extension MendCore.Risk: Journaled {
  var wire: MendAPI.Risk {
    switch self {
    case .low: .low
    case .medium: .medium
    case .high: .high
    }
  }
}

extension MendCore.ExecutorKind: Journaled {
  var wire: MendAPI.ExecutorKind {
    switch self {
    case .local: .local
    case .ray: .ray
    case .simulated: .simulated
    }
  }
}

extension MendCore.HealAction: Journaled {
  var wire: MendAPI.HealAction {
    switch self {
    case .detectStuck: .detectStuck
    case .killDuplicates: .killDuplicates
    case .reclaimOrphans: .reclaimOrphans
    case .auto: .auto
    }
  }
}

extension MendCore.RetryRule.Action: Journaled {
  static var allCases: [MendCore.RetryRule.Action] { [.retry, .fail, .ignore] }

  var wire: MendAPI.RetryAction {
    switch self {
    case .retry: .retry
    case .fail: .fail
    case .ignore: .ignore
    }
  }
}
