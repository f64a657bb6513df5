import CProcess
import Glibc
import Synchronization

/// SIGTERM or SIGINT to a worker, known from the moment it is sent.
///
/// Whoever ends an attempt signals the worker first and its commands after it (the supervisor does: parents before
/// children). A command's end may still be seen before the worker's own signal has come through a handler or a queue, and
/// its document would be failed for what the attempt did. So every thread blocks the signals, and the kernel is asked.
final class EndRequest: Sendable {
  private struct Account {
    var hasCome = false
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

  /// Does the work of the process in a task, its only one without a parent, and keeps the main thread for the signals.
  /// A main thread that is left to the run time waits for work with every signal let through.
  ///
  /// To be called before there is another thread.
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

  /// Whoever reads the signal notes it before anybody else can ask.
  private func current() -> Account {
    account.withLock { account in
      var sender: pid_t = 0
      while cprocess_end_signal_next(descriptor, &sender) != 0 {
        account.hasCome = true
        if sender == getppid() { account.isFromParent = true }
      }
      return account
    }
  }

  var hasCome: Bool { current().hasCome }

  /// The supervisor sent it, who tells the whole tree; a command that is told twice may think that there is no time left.
  var isFromParent: Bool { current().isFromParent }

  /// Returns at the first signal, or when the task is cancelled. To be called once.
  func wait() async {
    for await _ in stream { return }
  }

  /// Ends the process by SIGTERM itself, so that whoever watches sees what happened.
  static func obey() { cprocess_end_by_sigterm() }
}
