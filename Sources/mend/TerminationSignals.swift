import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// SIGTERM and SIGINT as something to wait for.
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

  /// Returns at the next signal, or when the task is cancelled. One at a time may wait.
  func wait() async {
    for await _ in stream { return }
  }
}
