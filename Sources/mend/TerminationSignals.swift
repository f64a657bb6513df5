import Glibc
import Synchronization

/// Waits for SIGTERM and SIGINT.
final class TerminationSignals: Sendable {
  private let stream: AsyncStream<Int32>
  private let sources: SignalSources
  private let raised: Raised

  private final class Raised: Sendable {
    let value = Atomic<Bool>(false)
  }

  init() {
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self, bufferingPolicy: .bufferingNewest(1))
    let raised = Raised()
    self.stream = stream
    self.raised = raised
    sources = SignalSources([SIGTERM, SIGINT]) { signal in
      raised.value.store(true, ordering: .relaxed)
      continuation.yield(signal)
    }
  }

  var isRaised: Bool { raised.value.load(ordering: .relaxed) }

  /// Returns at the next signal, or when the task is cancelled. Only one task may wait at a time.
  func wait() async {
    for await _ in stream { return }
  }
}
