// Why something failed, and what each cause implies (<doc:Domain#Why-an-attempt-failed>). What is said of a cause is in
// CauseText.swift.

/// What a program switches over when it asks why something failed.
package enum FailureCategory: String, Codable, CaseIterable, SchemaEnum {
  case infrastructure, timeout, orphaned, pipeline
}

/// Why an attempt or a document failed; each cause belongs to one category. Its number in the schema is its place here.
package enum FailureCause: String, Codable, CaseIterable, SchemaEnum {
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
  case throttled
  case serviceUnavailable = "service_unavailable"
  case credentials, contention
  case gpuFault = "gpu_fault"
  case documentTimeout = "document_timeout"

  package var category: FailureCategory {
    switch self {
    case .oom, .preemption, .nodeFailure, .engineFault, .environmentSetup, .throttled, .serviceUnavailable,
      .credentials, .contention, .gpuFault:
      .infrastructure
    case .startTimeout, .heartbeatTimeout, .progressTimeout, .runTimeout, .batchTimeout, .documentTimeout: .timeout
    case .orphaned: .orphaned
    case .exitCode, .signal, .documentErrors, .entrypointNotFound, .badInput, .resourceLimit: .pipeline
    }
  }

  /// Whether a document in process can have caused it. A lost machine, preempted capacity or a lost attempt says nothing
  /// about the documents.
  package var mayComeFromADocument: Bool {
    switch self {
    case .oom, .engineFault, .exitCode, .signal, .heartbeatTimeout, .progressTimeout, .runTimeout, .resourceLimit: true
    case .preemption, .nodeFailure, .orphaned, .environmentSetup, .startTimeout, .batchTimeout, .documentErrors,
      .entrypointNotFound, .badInput, .throttled, .serviceUnavailable, .credentials, .contention, .gpuFault,
      .documentTimeout:
      false
    }
  }

  /// Whether a job without retry rules of its own is retried: more memory costs money, and a pipeline's error is its
  /// author's.
  var isRetriedByDefault: Bool {
    switch self {
    case .nodeFailure, .preemption, .engineFault, .orphaned, .startTimeout: true
    default: false
    }
  }

  /// Whether a live attempt counts as stuck for it.
  var isStall: Bool { self == .startTimeout || self == .heartbeatTimeout || self == .progressTimeout }

  /// Why no retry rule is ever asked about it; nil if rules decide.
  var whyNoRuleDecides: String? {
    switch self {
    case .batchTimeout: "ends the whole batch"
    case .documentErrors: "is said of documents after an attempt ended well"
    case .badInput, .documentTimeout: "is said of documents, and ends no attempt"
    default: nil
    }
  }
}

extension AttemptEnd {
  /// Somebody outside of the program ended it, and not the server.
  var isFromOutside: Bool { cause == .signal && exit?.signal?.isFromOutside == true }

  /// Whether a document in process can have caused it.
  var mayComeFromADocument: Bool { cause?.mayComeFromADocument == true && !isFromOutside }
}

/// What a finding is about: a failure, or what holds the batch up although nothing has failed.
package enum FindingCause: RawRepresentable, Hashable, Codable, Sendable, CustomStringConvertible {
  case failure(FailureCause)
  case health(HealthReason)
  /// An attempt that is not its job's current one runs.
  case duplicate

  private static let duplicateName = "duplicate"

  package init?(rawValue: String) {
    if let cause = FailureCause(rawValue: rawValue) {
      self = .failure(cause)
    } else if let reason = HealthReason(rawValue: rawValue) {
      self = .health(reason)
    } else if rawValue == Self.duplicateName {
      self = .duplicate
    } else {
      return nil
    }
  }

  /// Its name in the journal and in answers: `oom`, `never_schedulable`, `duplicate`.
  package var rawValue: String {
    switch self {
    case .failure(let cause): cause.rawValue
    case .health(let reason): reason.rawValue
    case .duplicate: Self.duplicateName
    }
  }

  package var description: String { rawValue }

  /// nil for what is no failure yet.
  var category: FailureCategory? {
    switch self {
    case .failure(let cause): cause.category
    case .health: nil
    case .duplicate: .orphaned
    }
  }
}

/// What a document failed with: a cause, a word that workers commonly use for a file, or a worker's own word.
package enum DocumentCode: RawRepresentable, Hashable, Codable, Sendable, CustomStringConvertible,
  ExpressibleByStringInterpolation
{
  case failure(FailureCause)
  case common(Common)
  case other(String)

  package enum Common: String, Sendable {
    case formatError = "format_error"
    case unsupportedFormat = "unsupported_format"
    case corruptedFile = "corrupted_file"
    case notFound = "not_found"
    case fileNotFound = "file_not_found"
    case emptyFile = "empty_file"
    case permissionDenied = "permission_denied"
    case timeout
  }

  package init(rawValue: String) {
    if let cause = FailureCause(rawValue: rawValue) {
      self = .failure(cause)
    } else if let common = Common(rawValue: rawValue) {
      self = .common(common)
    } else {
      self = .other(rawValue)
    }
  }

  package init(stringLiteral: String) { self.init(rawValue: stringLiteral) }

  package var rawValue: String {
    switch self {
    case .failure(let cause): cause.rawValue
    case .common(let common): common.rawValue
    case .other(let word): word
    }
  }

  package var description: String { rawValue }

  /// The cause that it names; nil for a word of the worker's.
  var namedCause: FailureCause? { if case .failure(let cause) = self { cause } else { nil } }

  /// The cause that it stands for: `bad_input` for what is wrong with a file, `document_errors` for a word that is not
  /// known.
  var cause: FailureCause {
    switch self {
    case .failure(let cause): cause
    case .common(.timeout), .other: .documentErrors
    case .common: .badInput
    }
  }
}
