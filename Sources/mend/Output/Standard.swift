#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The three standard streams, unbuffered.
enum Standard {
  static let isOutputTerminal = isatty(STDOUT_FILENO) == 1
  static let isErrorTerminal = isatty(STDERR_FILENO) == 1

  /// Turns a closed pipe into an error of the write instead of a signal that ends the program.
  static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

  /// Turns a file-size limit into an error of the write instead of a signal that ends the program.
  static func ignoreFileSizeLimits() { signal(SIGXFSZ, SIG_IGN) }

  static func output(_ text: String) { output(Array(text.utf8)) }

  static func output(_ bytes: [UInt8]) {
    // The reader of the output has gone (`mend list | head`): there is nothing left to print.
    if !write(bytes, to: STDOUT_FILENO) { exit(0) }
  }

  static func error(_ text: String) { _ = write(Array(text.utf8), to: STDERR_FILENO) }

  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        if errno == EAGAIN {
          var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          _ = poll(&ready, 1, -1)
          continue
        }
        return false
      }
      rest = rest.dropFirst(written)
    }
    return true
  }

  /// All of standard input.
  ///
  /// - Throws: `ProgramError` beyond `limit` bytes, or if it is not UTF-8.
  static func input(limit: Int) throws -> String {
    try readText(STDIN_FILENO, name: "standard input", limit: limit)
  }

  static func readText(_ descriptor: Int32, name: String, limit: Int) throws -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw ProgramError.usage("\(name) cannot be read: \(systemError())")
      }
      if count == 0 { break }
      bytes += buffer[..<count]
      guard bytes.count <= limit else {
        throw ProgramError.usage("\(name) is longer than \(Size(Int64(limit))), the limit")
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ProgramError.usage("\(name) is not UTF-8 text")
    }
    return text
  }

  /// The text for errno.
  static func systemError(_ number: Int32 = errno) -> String { String(cString: strerror(number)) }

  /// The terminal's width in columns; 80 without a terminal.
  static var columns: Int {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }
}

private func systemWrite(_ descriptor: Int32, _ base: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, base, count)
}
