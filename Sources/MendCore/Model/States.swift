// The states of batches, tiers, jobs and documents (<doc:Domain#States>). Only Retry leaves a final state.

public enum BatchStatus: String, Sendable, Hashable, Codable, CaseIterable {
  case created, queued, running, paused, completed, failed, cancelled

  public var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
}

public enum TierStatus: String, Sendable, Hashable, Codable, CaseIterable {
  case pending, running, completed, failed, cancelled

  public var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
}

public enum JobStatus: String, Sendable, Hashable, Codable, CaseIterable {
  case pending, starting, running, cancelling, succeeded, failed, cancelled

  public var isFinal: Bool { self == .succeeded || self == .failed || self == .cancelled }
}

public enum DocumentStatus: String, Sendable, Hashable, Codable, CaseIterable {
  case pending, processing, completed, failed
}

/// What Diagnose says of a batch at a glance (<doc:Domain#Health>).
public enum Health: String, Sendable, Hashable, Codable, CaseIterable {
  case ok, scaling, stuck, degraded
}

/// Why the health is what it is; the order is the order in which reasons win.
public enum HealthReason: String, Sendable, Hashable, Codable, CaseIterable {
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

/// What a program switches over when it asks why something failed.
public enum FailureCategory: String, Sendable, Hashable, Codable, CaseIterable {
  case infrastructure, timeout, orphaned, pipeline
}

/// Why an attempt failed; each belongs to one category (<doc:Domain#Why-an-attempt-failed>).
public enum FailureCause: String, Sendable, Hashable, Codable, CaseIterable {
  case oom, preemption
  case nodeFailure = "node_failure"
  case engineFault = "engine_fault"
  case environmentSetup = "environment_setup"
  case startTimeout = "start_timeout"
  case heartbeatTimeout = "heartbeat_timeout"
  case progressTimeout = "progress_timeout"
  case runTimeout = "run_timeout"
  case batchTimeout = "batch_timeout"
  case orphaned
  case exitCode = "exit_code"
  case signal
  case documentErrors = "document_errors"
  case entrypointNotFound = "entrypoint_not_found"
  case badInput = "bad_input"
  case resourceLimit = "resource_limit"

  public var category: FailureCategory {
    switch self {
    case .oom, .preemption, .nodeFailure, .engineFault, .environmentSetup: .infrastructure
    case .startTimeout, .heartbeatTimeout, .progressTimeout, .runTimeout, .batchTimeout: .timeout
    case .orphaned: .orphaned
    case .exitCode, .signal, .documentErrors, .entrypointNotFound, .badInput, .resourceLimit: .pipeline
    }
  }
}

extension FailureCause {
  /// Whether one of the documents in process can have brought it about. A machine that goes down, room that is taken
  /// away, or an attempt that was lost sight of says nothing of them.
  public var mayComeFromADocument: Bool {
    switch self {
    case .oom, .engineFault, .exitCode, .signal, .heartbeatTimeout, .progressTimeout, .runTimeout, .resourceLimit: true
    case .preemption, .nodeFailure, .orphaned, .environmentSetup, .startTimeout, .batchTimeout, .documentErrors,
      .entrypointNotFound, .badInput:
      false
    }
  }
}

extension AttemptEnd {
  /// Somebody outside of the program ended it, and not the server.
  var isFromOutside: Bool { cause == .signal && exit?.signal?.isFromOutside == true }

  /// Whether one of the documents in process can have brought it about.
  var mayComeFromADocument: Bool { cause?.mayComeFromADocument == true && !isFromOutside }
}

extension FailureCause {
  /// The causes for which an attempt that lives counts as stuck.
  var isStall: Bool { self == .startTimeout || self == .heartbeatTimeout || self == .progressTimeout }

  /// Why no retry rule is ever asked of it; nil where rules decide.
  var whyNoRuleDecides: String? {
    switch self {
    case .batchTimeout: "ends the whole batch"
    case .documentErrors: "is said of documents after an attempt ended well"
    case .badInput: "is said of documents, and ends no attempt"
    default: nil
    }
  }
}

/// How sure a finding is: the kernel's own account is high, an executor's field medium, a matched text or exit 137 alone low.
public enum Confidence: String, Sendable, Hashable, Codable, CaseIterable { case low, medium, high }

public enum Risk: String, Sendable, Hashable, Codable, CaseIterable { case low, medium, high }

public enum ExecutorKind: String, Sendable, Hashable, Codable, CaseIterable { case local, ray, simulated }

// Their numbers and names in the schema: `proto/mend/v1/types.proto`.

extension BatchStatus: SchemaEnum {
  public static var schemaName: String { "mend.v1.BatchStatus" }
}

extension TierStatus: SchemaEnum {
  public static var schemaName: String { "mend.v1.TierStatus" }
}

extension JobStatus: SchemaEnum {
  public static var schemaName: String { "mend.v1.JobStatus" }
}

extension Health: SchemaEnum {
  public static var schemaName: String { "mend.v1.Health" }
}

extension FailureCategory: SchemaEnum {
  public static var schemaName: String { "mend.v1.FailureCategory" }
}

extension FailureCause: SchemaEnum {
  public static var schemaName: String { "mend.v1.FailureCause" }
}

extension Confidence: SchemaEnum {
  public static var schemaName: String { "mend.v1.Confidence" }
}

extension Risk: SchemaEnum {
  public static var schemaName: String { "mend.v1.Risk" }
}

extension ExecutorKind: SchemaEnum {
  public static var schemaName: String { "mend.v1.ExecutorKind" }
}

extension DocumentStatus: SchemaEnum {
  public static var schemaName: String { "mend.v1.DocumentStatus" }
}

extension HealthReason: SchemaEnum {
  public static var schemaName: String { "mend.v1.HealthReason" }

  /// Its cases stand in the order in which they win, the schema's in the order in which they came.
  public var number: Int32 {
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

  public init?(number: Int32) {
    guard let reason = Self.allCases.first(where: { $0.number == number }) else { return nil }
    self = reason
  }
}
