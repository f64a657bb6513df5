/// Mistakes that can be made on purpose, so that a test can show that the simulator finds each (Tests/Simulation).
///
/// Nothing but a test sets one: `Core.planted` and `RuntimeSettings.planted` are not to be reached from outside of the
/// package, and cost a comparison where they are asked.
package enum PlantedBug: String, CaseIterable, Sendable {
  /// What a stale attempt says is applied.
  case droppedFence
  /// The executor is called before the intent is durable.
  case effectBeforeCommit
  /// Answers go out before what they say is durable.
  case answerBeforeCommit
  /// The end of a backoff brings nothing about.
  case lostBackoff
  /// The runtime never rings.
  case lostAlarm
  /// Documents of a dead attempt stay in process.
  case countsOff
  /// A retry by rule does committed documents again.
  case retryOfCommitted
  /// After a restart nobody asks for the attempts that ran.
  case forgottenAdoption
  /// After a restart the attempts that ran are taken for dead, and launched again.
  case doubleLaunch
  /// An end that comes late is applied to the attempt that took its place.
  case lateEndApplied
  /// A plan is applied to a batch that moved on.
  case staleHeal
  /// An answer is not remembered.
  case lostIdempotencyKey
  /// A paused batch hands out documents.
  case claimWhilePaused
  /// What an attempt held is not given back.
  case leakedCapacity
  /// max_concurrent is not looked at.
  case unboundedClaims
  /// One look is enough to call an attempt stuck.
  case stuckAtFirstLook
  /// Out of memory is taken for an exit code.
  case unnamedCause
  /// A cancel is answered before its attempts are gone.
  case earlyCancelAnswer
  /// A batch of one namespace is found by who asks for one of another that has its id.
  case foreignBatch
  /// A namespace has more than its quota.
  case unboundedQuota
  /// `auto_heal` goes on when its budget is spent.
  case unboundedHeals
  /// An end that nobody saw, as those of a machine that went down, is not believed.
  case unseenEndIgnored
  /// Ends are asked of the server's own executor, whichever has the attempt.
  case misroutedEnd
  /// What runs on an executor that the server was started without is taken for lost.
  case missingExecutorForgotten
  /// What came after a snapshot is left out.
  case snapshotTailLost
  /// A snapshot is taken for the whole, and what it holds is applied again.
  case snapshotAppliedTwice
}
