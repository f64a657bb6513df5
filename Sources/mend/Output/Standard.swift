import Glibc
import MendRPC

/// The three standard streams, unbuffered.
enum Standard {
  static let isOutputTerminal = isatty(STDOUT_FILENO) == 1
  static let isErrorTerminal = isatty(STDERR_FILENO) == 1

  /// Turns a closed pipe into an error of the write instead of a signal that ends the program.
  static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

  /// Turns a file-size limit into an error of the write instead of a signal that ends the program.
  static func ignoreFileSizeLimits() { signal(SIGXFSZ, SIG_IGN) }

  /// Opens streams that the caller closed, so that no other file gets their numbers. Reads and writes of them fail.
  static func holdClosedStreams() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
      // A stream that is open for the other direction only fails like a closed one.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// Writes to standard output. If that fails, it ends the program: with 0 if the reader is gone (`mend list | head`),
  /// else with 1 and the system's reason.
  ///
  /// - Parameter loss: what the caller must know although it cannot be printed, for stderr.
  static func output(_ text: String, orSay loss: String = "") { output(Array(text.utf8), orSay: loss) }

  static func output(_ bytes: [UInt8], orSay loss: String = "") {
    if write(bytes, to: STDOUT_FILENO) { return }
    let reason = errno
    if reason == EPIPE { exit(ExitStatus.done.rawValue) }
    error("mend: \(loss.isEmpty ? "" : "\(loss); ")standard output cannot be written: \(systemError(reason))\n")
    exit(ExitStatus.refused.rawValue)
  }

  /// The same for a program that goes on without it.
  static func outputIfPossible(_ text: String) { _ = write(Array(text.utf8), to: STDOUT_FILENO) }

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

  /// The text of a file; of standard input for `-`, unless an option names the file.
  ///
  /// - Parameter isBlocking: false does not wait for the writer of a pipe.
  /// - Throws: `ProgramError` if it cannot be read, beyond `limit` bytes, or if it is not UTF-8.
  static func text(of path: String, option: String? = nil, limit: Int, isBlocking: Bool = true) throws -> String {
    let (bytes, name) = try read(path, option: option, limit: limit, isBlocking: isBlocking)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ProgramError.usage("\(name) is not UTF-8 text")
    }
    return text
  }

  /// Hands a file of any length to `body`, piece by piece; standard input for `-`.
  ///
  /// - Throws: `ProgramError` if it cannot be read, and what `body` throws.
  static func pieces(of path: String, _ body: (ArraySlice<UInt8>) throws -> Void) throws {
    let isInput = path == "-"
    let descriptor = isInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    func failure() -> ProgramError {
      .usage("\(isInput ? "standard input" : path) cannot be read: \(systemError())")
    }
    guard descriptor >= 0 else { throw failure() }
    defer { if !isInput { close(descriptor) } }
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = systemRead(descriptor, &piece, piece.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure() }
      if count == 0 { return }
      try body(piece[..<count])
    }
  }

  private static func read(
    _ path: String, option: String?, limit: Int, isBlocking: Bool
  ) throws -> (bytes: [UInt8], name: String) {
    let isInput = path == "-" && option == nil
    let name = isInput ? "standard input" : (option.map { "\($0): " } ?? "") + path
    do throws(WholeFile.Fault) {
      let descriptor = isInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | (isBlocking ? 0 : O_NONBLOCK))
      guard descriptor >= 0 else { throw .system(errno) }
      defer { if !isInput { close(descriptor) } }
      return (try WholeFile.bytes(of: descriptor, limit: limit), name)
    } catch {
      switch error {
      case .system: throw ProgramError.usage("\(name) cannot be read: \(error)")
      case .tooLong: throw ProgramError.usage("\(name) is longer than \(Size(Int64(limit))), the limit")
      }
    }
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

private func systemRead(_ descriptor: Int32, _ base: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  read(descriptor, base, count)
}

private func systemWrite(_ descriptor: Int32, _ base: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, base, count)
}
