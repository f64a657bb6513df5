/// The time at which the caller of this task's work stops waiting.
///
/// A server binds it around a handler whose caller set a deadline, so that calls which the handler makes of others end
/// no later: a client call takes the earlier of its own timeout and this. Child tasks and tasks made with `Task { }`
/// inherit it; detached ones don't.
///
/// This is only the time. A server ends a call that is past it in `ServerConnection+Timers.swift`, a client in
/// `ClientHandler+Timers.swift`.
public enum CallDeadline {
  @TaskLocal public static var current: ContinuousClock.Instant?
}
