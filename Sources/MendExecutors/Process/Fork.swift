internal import CProcess
internal import Glibc

/// What a process does that multiplies without exec.
enum Fork {
  enum Side: ~Copyable {
    /// SIGTERM, SIGINT and SIGCHLD are blocked in it.
    case child
    case parent(pid: Int32, pidfd: Descriptor)
  }

  /// Only where no thread was ever started: a copy has one. The child, ended, stays until `forgetChildren`.
  static func fork() throws(SystemError) -> Side {
    var pid: pid_t = 0
    var pidfd: Int32 = -1
    let code = unsafe cprocess_fork(&pid, &pidfd)
    guard code == 0 else { throw SystemError("fork", code: code) }
    return pid == 0 ? .child : .parent(pid: pid, pidfd: Descriptor(owning: pidfd))
  }

  /// Ends a child and collects it.
  static func kill(_ pidfd: borrowing Descriptor) { cprocess_kill_child(pidfd.rawValue) }

  /// From now to the next fork nothing is left of children that end.
  static func forgetChildren() { cprocess_forget_children() }

  /// Closes all descriptors but 0, 1, 2 and this one.
  static func closeAll(but rawDescriptor: Int32) throws(SystemError) {
    let code = cprocess_close_all_but(rawDescriptor)
    if code != 0 { throw SystemError("close_range", code: code) }
  }

  /// Standard output and error go to the end of a file.
  static func writeOutput(to path: String) throws(SystemError) {
    let code = unsafe cprocess_output_to(path)
    if code != 0 { throw SystemError("open \(path)", code: code) }
  }
}

/// Where the system reads this process's command line from. A copy of a process has its arguments, until it changes
/// them; they cannot become longer.
struct ArgumentArea {
  private let area: cprocess_area

  init() throws(SystemError) {
    var area = cprocess_area()
    let code = unsafe cprocess_argument_area(&area)
    guard code == 0 else { throw SystemError("read /proc/self/stat", code: code) }
    self.area = area
  }

  func replace(by arguments: [String]) throws(SystemError) {
    var bytes: [CChar] = []
    for argument in arguments {
      bytes += argument.utf8.map { CChar(bitPattern: $0) }
      bytes.append(0)
    }
    let code = unsafe withUnsafePointer(to: area) { area in
      unsafe bytes.withUnsafeBufferPointer { unsafe cprocess_set_arguments(area, $0.baseAddress, $0.count) }
    }
    if code != 0 { throw SystemError("rename the process", code: code) }
  }
}
