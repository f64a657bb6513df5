internal import CProcess
internal import MendCore

/// Waits until one of several descriptors can be read. Adding and removing is safe from any thread.
struct Poller: ~Copyable, Sendable {
  private let descriptor: Descriptor
  static let batch = 64

  init() throws(SystemError) { descriptor = try Descriptor(result: cprocess_poll_create(), of: "epoll_create") }

  borrowing func add(_ rawDescriptor: Int32, token: UInt64) throws(SystemError) {
    let code = cprocess_poll_add(descriptor.rawValue, rawDescriptor, token)
    if code != 0 { throw SystemError("epoll_ctl", code: code) }
  }

  borrowing func remove(_ rawDescriptor: Int32) { _ = cprocess_poll_remove(descriptor.rawValue, rawDescriptor) }

  /// Tokens of what can be read; empty at the time-out. Nil waits for ever.
  borrowing func wait(_ timeout: Duration?) -> [UInt64] {
    var tokens = [UInt64](repeating: 0, count: Self.batch)
    // Rounded up: a wait that ends before its deadline would spin.
    let milliseconds = timeout.map { Int32(clamping: max(0, ($0 + .microseconds(999)).milliseconds)) } ?? -1
    let count = unsafe tokens.withUnsafeMutableBufferPointer { buffer in
      unsafe cprocess_poll_wait(descriptor.rawValue, buffer.baseAddress, Int32(buffer.count), milliseconds)
    }
    return Array(tokens.prefix(Int(count)))
  }
}

/// Wakes a poller from another thread.
struct WakeUp: ~Copyable, Sendable {
  private let descriptor: Descriptor
  init() throws(SystemError) { descriptor = try Descriptor(result: cprocess_event_create(), of: "eventfd") }
  var rawDescriptor: Int32 { descriptor.rawValue }
  borrowing func raise() { cprocess_event_raise(descriptor.rawValue) }
  borrowing func clear() { cprocess_event_clear(descriptor.rawValue) }
}

/// SIGTERM, SIGINT and SIGCHLD of this process as something to poll; SIGHUP, SIGPIPE and SIGXFSZ are ignored from then on.
struct SignalReader: ~Copyable {
  private let descriptor: Descriptor
  init() throws(SystemError) { descriptor = try Descriptor(result: cprocess_signal_descriptor(), of: "signalfd") }
  var rawDescriptor: Int32 { descriptor.rawValue }
  /// The next signal that arrived; nil if none.
  borrowing func next() -> Int32? {
    let number = cprocess_next_signal(descriptor.rawValue)
    return number == 0 ? nil : number
  }
}

/// Says when a file is written to: how a supervisor's records appear.
struct WriteWatch: ~Copyable, Sendable {
  private let descriptor: Descriptor
  init() throws(SystemError) {
    descriptor = try Descriptor(result: cprocess_write_watch_create(), of: "inotify_init")
  }
  var rawDescriptor: Int32 { descriptor.rawValue }

  /// A number for this file.
  borrowing func add(_ file: String) throws(SystemError) -> Int32 {
    let watch = unsafe cprocess_write_watch_add(descriptor.rawValue, file)
    guard watch >= 0 else { throw SystemError("inotify_add_watch \(file)", code: -watch) }
    return watch
  }

  borrowing func remove(_ watch: Int32) { cprocess_write_watch_remove(descriptor.rawValue, watch) }

  /// The numbers of files with news; nil if the kernel dropped some, so that all have to be looked at.
  borrowing func next() -> Set<Int32>? {
    var all: Set<Int32> = []
    while true {
      // As many as one read can hold at the most.
      var watches = [Int32](repeating: 0, count: 160)
      let count = unsafe watches.withUnsafeMutableBufferPointer { buffer in
        unsafe cprocess_write_watch_next(descriptor.rawValue, buffer.baseAddress, Int32(buffer.count))
      }
      if count <= 0 { return all.contains(-1) ? nil : all }
      all.formUnion(watches.prefix(Int(count)))
    }
  }
}
