import Dispatch
import Synchronization

/// Who sleeps until when, behind one timer of the system's.
///
/// `Task.sleep` keeps what a sleep needs, some 370 bytes, until its time would have come, though it was cancelled long ago.
/// A watch sleeps anew after each change of its batch, for as long as nothing is due: that would be a leak.
final class Sleepers: Sendable {
  private struct Sleeper {
    var deadline: UInt64
    var id: UInt64

    static func isEarlier(_ one: Sleeper, _ other: Sleeper) -> Bool {
      (one.deadline, one.id) < (other.deadline, other.id)
    }
  }

  private struct State {
    /// The earliest first.
    var order: [Sleeper] = []
    var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var lastID: UInt64 = 0
    /// What the timer is set to.
    var armed = UInt64.max
    let timer: any DispatchSourceTimer

    mutating func arm(_ now: UInt64) {
      guard let first = order.first, first.deadline < armed else { return }
      armed = first.deadline
      let left = min(first.deadline - min(now, first.deadline), Self.longestNanoseconds)
      timer.schedule(deadline: .now() + .nanoseconds(Int(left)))
    }

    /// A day: for what is later it rings for nothing, and no time overflows.
    private static let longestNanoseconds: UInt64 = 86_400_000_000_000

    /// Where a sleeper stands, or would.
    func place(of sleeper: Sleeper) -> Int {
      var (low, high) = (0, order.count)
      while low < high {
        let middle = (low + high) / 2
        if Sleeper.isEarlier(order[middle], sleeper) { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  private let state: Mutex<State>
  private let now: @Sendable () -> UInt64

  /// `now` and the deadlines are nanoseconds of one monotonic clock.
  init(now: @escaping @Sendable () -> UInt64) {
    self.now = now
    state = Mutex(State(timer: DispatchSource.makeTimerSource(queue: DispatchQueue(label: "mend.sleepers"))))
    state.withLock { state in
      state.timer.setEventHandler { [weak self] in self?.wakeThoseDue() }
      state.timer.activate()
    }
  }

  deinit {
    state.withLock { $0.timer.cancel() }
  }

  /// How many sleep.
  var count: Int { state.withLock { $0.order.count } }

  /// Returns at `deadline` or when the task is cancelled.
  func sleep(until deadline: UInt64) async {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now = now()
        let returnsNow = state.withLock { state in
          guard !Task.isCancelled, deadline > now else { return true }
          let sleeper = Sleeper(deadline: deadline, id: id)
          state.order.insert(sleeper, at: state.place(of: sleeper))
          state.waiting[id] = continuation
          state.arm(now)
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      wake(Sleeper(deadline: deadline, id: id))
    }
  }

  private func wake(_ sleeper: Sleeper) {
    let continuation: CheckedContinuation<Void, Never>? = state.withLock { state in
      guard let continuation = state.waiting.removeValue(forKey: sleeper.id) else { return nil }
      state.order.remove(at: state.place(of: sleeper))
      return continuation
    }
    continuation?.resume()
  }

  private func wakeThoseDue() {
    let now = now()
    let due = state.withLock { state in
      let count = state.order.firstIndex { $0.deadline > now } ?? state.order.count
      let due = state.order[..<count].compactMap { state.waiting.removeValue(forKey: $0.id) }
      state.order.removeFirst(count)
      // It rang, maybe for one that was cancelled since, or a little early.
      state.armed = .max
      state.arm(now)
      return due
    }
    for continuation in due { continuation.resume() }
  }
}
