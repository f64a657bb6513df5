import CProcess
import Glibc
import Synchronization

/// A request to end the worker: SIGTERM or SIGINT, known from the moment it is sent.
///
/// The supervisor signals the worker first and its commands after it (parents before children). A command may still be
/// seen to end before the worker's own signal has passed a handler or a queue; its document would then fail because of
/// the end of the attempt. So every thread blocks the signals, and the worker asks the kernel whether one is pending.
final class EndRequest: Sendable {
  private struct Account {
    /// The first that came; nil for none.
    var signal: Int32?
    var isFromParent = false
  }

  private let descriptor: Int32
  private let account = Mutex(Account())
  private let stream: AsyncStream<Void>
  private let news: AsyncStream<Void>.Continuation

  private init(descriptor: Int32) {
    self.descriptor = descriptor
    (stream, news) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Does the work of the process in a task, the only one without a parent, and keeps the main thread for the signals.
  /// A main thread that is left to the runtime waits for work with every signal unblocked.
  ///
  /// Call it before there is another thread.
  static func receive(during work: @escaping @Sendable (EndRequest) async -> Void) -> Never {
    let request = EndRequest(descriptor: cprocess_end_signal_descriptor())
    Task.detached {
      await work(request)
      exit(0)
    }
    while true {
      var readable = pollfd(fd: request.descriptor, events: Int16(POLLIN), revents: 0)
      if poll(&readable, 1, -1) > 0, request.hasCome { request.news.yield() }
    }
  }

  /// The thread that reads the signal records it before another thread can ask.
  private func current() -> Account {
    account.withLock { account in
      var sender: pid_t = 0
      while case let signal = cprocess_end_signal_next(descriptor, &sender), signal != 0 {
        if account.signal == nil { account.signal = signal }
        if sender == getppid() { account.isFromParent = true }
      }
      return account
    }
  }

  var hasCome: Bool { current().signal != nil }

  /// True if the supervisor sent the signal: it signals the whole tree, and a command that gets a second signal may
  /// stop at once.
  var isFromParent: Bool { current().isFromParent }

  /// Returns at the first signal, or when the task is cancelled. Call it once.
  func wait() async {
    for await _ in stream { return }
  }

  /// Ends the process by the signal that came, so that its supervisor sees what happened.
  func obey() { cprocess_end_by(current().signal ?? SIGTERM) }
}
