internal import Logging
internal import MendCore

/// Launches that executors see and that are no live batch's, each told once: in the log, for there is nobody else.
///
/// Where the batch is in memory the core knows of them, Diagnose tells and Heal ends them. A batch that has left it may
/// be over, or forgotten, or this data may be older than the launch, or a copy of what another server runs on. So
/// nothing is ended here.
struct StrayLaunches {
  /// What is remembered as told; beyond it all are told again.
  static let limit = 1000

  private var told: Set<String> = []

  /// - Parameters:
  ///   - executors: those that may run it.
  ///   - isKnown: whether the store has the batch; asked at most once a launch.
  mutating func report(
    _ attempt: AttemptKey, _ reference: String, on executors: [ExecutorTraits], _ logger: Logger, isKnown: () -> Bool
  ) {
    guard !told.contains(reference) else { return }
    if told.count >= Self.limit { told = [] }
    told.insert(reference)
    let commands = executors.filter { !$0.endCommand.isEmpty }
      .map { "; at \($0.title): \($0.endCommand) '\(reference)'" }
    logger.warning(
      "a process or job runs that no live attempt owns; it is left alone, because this server cannot tell whether it is needed",
      metadata: [
        "reference": "\(reference)", "namespace": "\(attempt.batch.namespace)", "batch": "\(attempt.batch.batchID)",
        "job": "\(attempt.job)", "attempt": "\(attempt.number)",
        "batch_is": isKnown() ? "over" : "unknown here: forgotten, or this data is older than the launch",
        "todo": "if nobody needs it, end it where it runs\(commands.joined())",
      ])
  }
}
