import CProcess
@preconcurrency import Glibc
import MendCore
import Synchronization

/// How a document's command ended.
struct CommandResult: Sendable, Hashable {
  enum Termination: Sendable, Hashable {
    case exited(Int32)
    case signalled(Int32)
    /// The shell could not be started: errno.
    case notStarted(Int32)
  }

  var termination: Termination
  /// The last line of stderr that is not blank, or the line above a stack trace at the end, at most 1 KiB.
  var lastErrorLine: String
  var seconds: Double
  /// errno of reading the document's file before the command began; 0 if it could be read, or is not a file.
  var inputFailure: Int32 = 0
  /// The file's size before the command began; nil if it is unknown, or the document is not a file.
  var inputBytes: Int64?

  /// The size, if it may be the reason of a failure: empty, or very large.
  var notableInputBytes: Int64? { inputBytes.flatMap { $0 == 0 || $0 >= 64 << 20 ? $0 : nil } }
}

/// Runs documents' commands, each by `/bin/sh -c` in a process group of its own, and can end running ones.
///
/// The command gets its document only through the environment, so that no file name can be taken for shell text. A
/// command's stdout and stderr go to the worker's; stderr is read on the way for its last line.
final class DocumentCommands: Sendable {
  /// Running process groups. A group is removed before its leader is reaped, so that its number is never another
  /// process's.
  private let groups = Mutex<Set<pid_t>>([])

  /// Runs the command and waits for its shell to end, on one thread for each running command.
  func run(_ command: String, for document: CommandDocument) async -> CommandResult {
    await withCheckedContinuation { continuation in
      let isStarted = Self.startThread { continuation.resume(returning: self.runAndWait(command, document)) }
      if !isStarted {
        continuation.resume(
          returning: CommandResult(termination: .notStarted(EAGAIN), lastErrorLine: "", seconds: 0))
      }
    }
  }

  var isRunning: Bool { groups.withLock { !$0.isEmpty } }

  /// Sends a signal to the process group of every running command.
  func signalAll(_ signal: Int32) {
    groups.withLock { groups in
      for group in groups { kill(-group, signal) }
    }
  }

  private func runAndWait(_ command: String, _ document: CommandDocument) -> CommandResult {
    let clock = ContinuousClock()
    let start = clock.now
    let (inputFailure, inputBytes) = document.look()
    func result(_ termination: CommandResult.Termination, _ line: String) -> CommandResult {
      let elapsed = (clock.now - start).components
      return CommandResult(
        termination: termination, lastErrorLine: line,
        seconds: Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18, inputFailure: inputFailure,
        inputBytes: inputBytes)
    }
    var reader: Int32 = -1
    var writer: Int32 = -1
    // Close-on-exec from the start, so that no other command holds this one's pipe open.
    let pipeFailure = cprocess_pipe(&reader, &writer)
    guard pipeFailure == 0 else { return result(.notStarted(pipeFailure), "") }
    defer { close(reader) }
    let (pid, failure) = Self.spawn(command, document, standardError: writer)
    close(writer)
    guard failure == 0 else { return result(.notStarted(failure), "") }
    _ = groups.withLock { $0.insert(pid) }
    let line = Self.followErrors(reader, until: pid)
    // Still a zombie here: its number is not reused before it is reaped.
    waitForEnd(pid)
    _ = groups.withLock { $0.remove(pid) }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7f
    return result(signal == 0 ? .exited((status >> 8) & 0xff) : .signalled(signal), line)
  }

  private func waitForEnd(_ pid: pid_t) {
    var information = siginfo_t()
    while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
  }

  private static func hasEnded(_ pid: pid_t) -> Bool {
    var information = siginfo_t()
    guard waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT | WNOHANG) == 0 else { return errno != EINTR }
    return information._sifields._sigchld.si_pid == pid
  }

  /// The size of a pipe: everything that the shell itself wrote may still be unread when it ends.
  private static let bytesAfterEnd = 64 << 10

  /// Copies stderr until it is closed or the shell has ended: processes that the shell left behind may keep it open.
  private static func followErrors(_ descriptor: Int32, until pid: pid_t) -> String {
    var tail = LastLine()
    var buffer = [UInt8](repeating: 0, count: 4096)
    /// The number of bytes read: 0 at the end, nil if there are none now.
    func pass() -> Int? {
      let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 { return errno == EINTR || errno == EAGAIN ? nil : 0 }
      tail.append(buffer[..<count])
      buffer.withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, count) }
      return count
    }
    let shell = cprocess_pidfd_open(pid)
    defer { if shell >= 0 { close(shell) } }
    while true {
      // poll ignores a negative descriptor: without one, the shell is polled from time to time.
      var ready = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: shell, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&ready, 2, shell >= 0 ? -1 : 100) >= 0 else { continue }
      if shell >= 0 ? ready[1].revents != 0 : hasEnded(pid) {
        var left = bytesAfterEnd
        while left > 0, let count = pass(), count > 0 { left -= count }
        return tail.text
      }
      if ready[0].revents != 0, pass() == 0 { return tail.text }
    }
  }

  /// The child's pid, or errno.
  private static func spawn(
    _ command: String, _ document: CommandDocument, standardError: Int32
  ) -> (pid: pid_t, failure: Int32) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, standardError, STDERR_FILENO)
    // The command must not inherit the worker's connection and event loops.
    _ = cprocess_spawn_closing_from(&actions, STDERR_FILENO + 1)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // The command must not inherit ignored or blocked signals.
    var signals = sigset_t()
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

    let own = document.environment.map { Self.duplicate($0) }
    defer { own.forEach { free($0) } }
    let words = ["sh", "-c", command].map { Self.duplicate(Array($0.utf8)) }
    defer { words.forEach { free($0) } }
    let arguments = words + [nil]
    var variables = inheritedEnvironment()
    variables += own
    variables.append(nil)
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments, variables)
    return (pid, failure)
  }

  private static func duplicate(_ bytes: [UInt8]) -> UnsafeMutablePointer<CChar>? {
    let copy = malloc(bytes.count + 1)?.assumingMemoryBound(to: CChar.self)
    for (index, byte) in bytes.enumerated() { copy?[index] = CChar(bitPattern: byte) }
    copy?[bytes.count] = 0
    return copy
  }

  /// This process's environment without the variables that differ for each document. The strings live as long as the
  /// process: nothing here changes the environment.
  private static func inheritedEnvironment() -> [UnsafeMutablePointer<CChar>?] {
    var result: [UnsafeMutablePointer<CChar>?] = []
    var next: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = environ
    while let entry = next.pointee {
      let isOwn = CommandDocument.names.contains { strncmp(entry, $0 + "=", $0.utf8.count + 1) == 0 }
      if !isOwn { result.append(entry) }
      next += 1
    }
    return result
  }

  private static func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box: Sendable {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 256 * 1024)
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let failure = pthread_create(
      &thread, &attributes,
      { pointer in
        guard let pointer else { return nil }
        Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    if failure != 0 { box.release() }
    return failure == 0
  }
}

/// The variables by which a command finds its document.
struct CommandDocument: Sendable, Hashable {
  static let names = ["MEND_PATH", "MEND_URI", "MEND_DOCUMENT_ID"]

  /// `NAME=value` as bytes: a file name need not be UTF-8.
  var environment: [[UInt8]]
  /// Empty if the URI is not a file's.
  private var path: [UInt8]

  /// `MEND_PATH` is empty if the URI is not a file's.
  init(id: String, uri: String) {
    path = FileURI.path(of: uri) ?? []
    environment = [
      Array("MEND_PATH=".utf8) + path, Array("MEND_URI=\(uri)".utf8), Array("MEND_DOCUMENT_ID=\(id)".utf8),
    ]
  }

  /// Checks the file: errno (0 if it can be read, or there is no file), and its size.
  func look() -> (failure: Int32, bytes: Int64?) {
    guard !path.isEmpty else { return (0, nil) }
    let name = path.map { CChar(bitPattern: $0) } + [0]
    guard access(name, R_OK) == 0 else { return (errno, nil) }
    var status = stat()
    guard stat(name, &status) == 0 else { return (errno, nil) }
    switch status.st_mode & S_IFMT {
    case S_IFDIR: return (EISDIR, nil)
    case S_IFREG: return (0, Int64(status.st_size))
    default: return (0, nil)
    }
  }
}

/// Keeps the last line of a stream that is not blank, or the line above a stack trace at the end, at most 1 KiB of it.
struct LastLine {
  static let bytesMaximum = 1024
  private var line: [UInt8] = []
  private var last: [UInt8] = []
  private var tail = StderrTail()

  mutating func append(_ bytes: ArraySlice<UInt8>) {
    tail.append(bytes)
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        keep()
      } else if line.count < Self.bytesMaximum {
        line.append(byte)
      }
    }
  }

  var text: String {
    if let line = tail.lineAboveTrace { return line }
    var copy = self
    copy.keep()
    return String(decoding: copy.last, as: UTF8.self)
  }

  private mutating func keep() {
    if line.contains(where: { $0 > 0x20 }) {
      while let byte = line.last, byte <= 0x20 { line.removeLast() }
      last = line
    }
    line.removeAll(keepingCapacity: true)
  }
}
