internal import Glibc

/// Carries what a child writes from its pipe to its log, and never makes it wait for long.
struct LogPump: ~Copyable {
  private let pipe: Descriptor
  private var log: BoundedLog
  private(set) var lastLine = LastStderrLine()
  private(set) var isOpen = true
  private var buffer = [UInt8](repeating: 0, count: Self.chunk)

  /// Taken at once before other work gets its turn.
  private static let burst = 256 * 1024
  private static let chunk = 64 * 1024

  init(_ pipe: consuming Descriptor, path: String, limit: Int) {
    log = BoundedLog(path: path, limit: limit)
    self.pipe = pipe
  }

  var rawDescriptor: Int32 { pipe.rawValue }

  mutating func pump() {
    var taken = 0
    while isOpen && taken < Self.burst {
      switch pipe.read(into: &buffer) {
      case .some(let count):
        log.append(buffer[..<count])
        lastLine.append(buffer[..<count])
        taken += count
      case .nothingYet: return
      case .end, .failed: isOpen = false
      }
    }
  }

  /// After the last process is gone: what is still in the pipe (a megabyte at most).
  mutating func finish() {
    for _ in 0..<8 where isOpen { pump() }
  }
}
