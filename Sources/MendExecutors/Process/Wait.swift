internal import Glibc
internal import MendCore

/// Waits that take no descriptor, so that they work where none is left.
enum Wait {
  /// Blocks until something can be read there, an end included; false if nothing can by then.
  static func untilReadable(_ rawDescriptor: Int32, _ patience: Duration) -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + patience
    while true {
      var entry = pollfd(fd: rawDescriptor, events: Int16(POLLIN), revents: 0)
      if unsafe poll(&entry, 1, milliseconds(deadline - clock.now)) > 0 { return true }
      if clock.now >= deadline { return false }
    }
  }

  static func pause(_ time: Duration) { _ = poll(nil, 0, milliseconds(time)) }

  /// Rounded up: a wait that ends before its deadline would spin.
  private static func milliseconds(_ time: Duration) -> Int32 {
    Int32(clamping: max(0, (time + .microseconds(999)).milliseconds))
  }
}
