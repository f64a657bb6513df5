internal import CProcess
internal import Glibc

/// Names one process for good: a pid is used again, with its start time (in clock ticks since boot) it is not.
struct ProcessIdentity: Hashable, Sendable, Codable {
  var pid: Int32
  var startTicks: UInt64
  var bootID: String

  /// `PID:STARTTICKS:BOOTID`
  var reference: String { "\(pid):\(startTicks):\(bootID)" }

  init(pid: Int32, startTicks: UInt64, bootID: String) {
    self.pid = pid
    self.startTicks = startTicks
    self.bootID = bootID
  }

  /// Parses what `reference` writes; nil for anything else.
  init?(reference: String) {
    let parts = reference.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, let pid = Int32(parts[0]), pid > 0, let ticks = UInt64(parts[1]) else { return nil }
    self.init(pid: pid, startTicks: ticks, bootID: String(parts[2]))
  }

  enum CodingKeys: String, CodingKey {
    case pid
    case startTicks = "start_ticks"
    case bootID = "boot_id"
  }
}

/// One process, pinned by a pidfd: signals reach it or nobody.
final class ProcessReference: Sendable {
  let identity: ProcessIdentity
  private let descriptor: Descriptor

  var rawDescriptor: Int32 { descriptor.rawValue }

  private init(identity: ProcessIdentity, descriptor: consuming Descriptor) {
    self.identity = identity
    self.descriptor = descriptor
  }

  /// Nil if that process has ended (`collecting`: it is collected then, if a child, and its exit status is gone). Throws
  /// where that cannot be told.
  /// The descriptor comes first and the comparison after, so that what matched is pinned.
  init?(_ identity: ProcessIdentity, collecting: Bool = false) throws(SystemError) {
    guard identity.bootID == ProcessTable.bootID, let descriptor = try Self.pin(identity.pid),
      let status = try Self.status(of: identity.pid), status.startTicks == identity.startTicks
    else { return nil }
    guard !status.isDead else {
      if collecting { _ = cprocess_reap(descriptor.rawValue) }
      return nil
    }
    self.identity = identity
    self.descriptor = descriptor
  }

  /// Nil also where the number is another user's now, of whose processes the system may show nothing.
  private static func status(of pid: Int32) throws(SystemError) -> ProcessTable.Status? {
    do throws(SystemError) {
      return try ProcessTable.status(of: pid)
    } catch {
      guard !error.keepsFromLooking, let owner = try FileSystem.owner(of: "/proc/\(pid)"), owner != geteuid() else {
        throw error
      }
      return nil
    }
  }

  /// To that process or to nobody.
  static func signal(_ process: ProcessTable.Status, _ number: Int32) throws(SystemError) {
    guard process.isKept else {
      try ProcessReference(process.identity)?.signal(number)
      return
    }
    // Pinned first, so that what is still its parent's child is what is pinned.
    guard let descriptor = try pin(process.pid), let parent = try ProcessTable.status(of: process.parent),
      try ProcessTable.children(of: parent).contains(process.pid)
    else { return }
    _ = cprocess_pidfd_signal(descriptor.rawValue, number)
  }

  /// Whom a launcher's answer names, pinned by the descriptor that came with it.
  init?(started answer: LaunchService.Answer, by message: consuming MessageSocket.Message) {
    guard answer.error == 0, answer.pid > 0, let descriptor = message.takeDescriptor() else { return nil }
    identity = ProcessIdentity(pid: answer.pid, startTicks: answer.startTicks, bootID: ProcessTable.bootID)
    self.descriptor = descriptor
  }

  /// Nil where no process has this number; it may be a thread's.
  private static func pin(_ pid: Int32) throws(SystemError) -> Descriptor? {
    let result = cprocess_pidfd_open(pid)
    return [-ESRCH, -ENOENT, -EINVAL].contains(result) ? nil : try Descriptor(result: result, of: "pidfd_open")
  }

  var hasEnded: Bool { Wait.untilReadable(descriptor.rawValue, .zero) }

  /// Blocks until it has ended; false if it has not by then.
  func waitForEnd(_ patience: Duration) -> Bool { Wait.untilReadable(descriptor.rawValue, patience) }

  @discardableResult
  func signal(_ number: Int32) -> Bool { cprocess_pidfd_signal(descriptor.rawValue, number) == 0 }

  /// Collects it, where it is a child of this process and has ended.
  func reap() { _ = cprocess_reap(descriptor.rawValue) }

  /// What a child is to be.
  struct Child {
    /// The first is the program's absolute path.
    var arguments: [String]
    var environment: [String: String]
    var directory: String?
    /// Of the calling thread's end: what the child gets then; 0 is nothing.
    var deathSignal: Int32 = 0
    /// It starts with the signals blocked that a supervisor reads, so that none is lost while it starts.
    var signalsBlocked = false
    /// How much rather than others the kernel's out-of-memory killer takes it, 0-1000.
    var outOfMemoryScore: Int32 = 0
    /// 0 leaves what is inherited.
    var openFilesLimit = 0
    /// Where there is no such limit: the one that a process may raise by itself. 0 leaves what is inherited.
    var softOpenFilesLimit = 0
    /// Whom it runs as; nil is whoever starts it.
    var account: AttemptAccount?

    /// Starts it in a session of its own; returns once it has called exec.
    ///
    /// `output`, `error`: null device if nil; `extra` becomes its descriptor 3. Throws what kept it from starting, with
    /// nothing left of it.
    func start(output: Int32?, error: Int32?, extra: Int32? = nil) throws(SystemError) -> ProcessReference {
      // What is started can then be told from others, however many descriptors others take meanwhile.
      let reserve = try FileSystem.open("/dev/null", O_RDONLY)
      let argumentBytes = Self.terminated(arguments)
      let environmentBytes = Self.terminated(environment.map { "\($0.key)=\($0.value)" })
      let directoryBytes = directory.map { Self.terminated([$0]) }
      var pid: pid_t = 0
      var pidfd: Int32 = -1
      let code = unsafe argumentBytes.withUnsafeBufferPointer { arguments in
        unsafe environmentBytes.withUnsafeBufferPointer { environment in
          unsafe (directoryBytes ?? []).withUnsafeBufferPointer { directory in
            var child = unsafe cprocess_child()
            unsafe child.arguments = arguments.baseAddress
            unsafe child.argument_count = self.arguments.count
            unsafe child.environment = environment.baseAddress
            unsafe child.environment_count = self.environment.count
            unsafe child.directory = self.directory == nil ? nil : directory.baseAddress
            unsafe child.input = -1
            unsafe child.output = output ?? -1
            unsafe child.error = error ?? -1
            unsafe child.extra = extra ?? -1
            unsafe child.limit_core = 0
            unsafe child.limit_address_space = .max
            unsafe child.limit_open_files = openFilesLimit > 0 ? UInt64(openFilesLimit) : .max
            unsafe child.soft_limit_open_files = softOpenFilesLimit > 0 ? UInt64(softOpenFilesLimit) : .max
            unsafe child.user = account.map { Int64($0.user) } ?? -1
            unsafe child.group = account.map { Int64($0.group) } ?? -1
            unsafe child.death_signal = deathSignal
            unsafe child.signals_blocked = signalsBlocked ? 1 : 0
            unsafe child.oom_score = outOfMemoryScore
            return unsafe cprocess_spawn(&child, &pid, &pidfd)
          }
        }
      }
      guard code == 0 else { throw SystemError("start \(arguments.first ?? "")", code: code) }
      return try Self.named(pid, Descriptor(owning: pidfd), reserve)
    }

    private static func named(
      _ pid: Int32, _ descriptor: consuming Descriptor, _ reserve: consuming Descriptor
    ) throws(SystemError) -> ProcessReference {
      do {
        let free = reserve
        _ = free
      }
      do throws(SystemError) {
        // A child that nobody has collected keeps its line in /proc, ended or not.
        guard let status = try ProcessTable.status(of: pid) else {
          throw SystemError("read /proc/\(pid)/stat", code: ESRCH)
        }
        return ProcessReference(
          identity: ProcessIdentity(pid: pid, startTicks: status.startTicks, bootID: ProcessTable.bootID),
          descriptor: descriptor)
      } catch {
        // Whoever is told of an error may start it again.
        cprocess_kill_child(descriptor.rawValue)
        throw error
      }
    }

    /// NUL inside a string would shift all that follow; the part before it is what exec would see.
    private static func terminated(_ strings: [String]) -> [CChar] {
      var bytes: [CChar] = []
      for string in strings {
        bytes.append(contentsOf: string.utf8.prefix { $0 != 0 }.map { CChar(bitPattern: $0) })
        bytes.append(0)
      }
      return bytes
    }
  }
}

/// What a supervisor asks the kernel about its own children.
enum OwnChildren {
  enum Reaped {
    case ended(pid: Int32, exitCode: Int32, signal: Int32)
    case noneEnded
    /// Proof that the tree is gone: a subreaper without children has no descendants.
    case noneLeft
  }

  static func becomeSubreaper() throws(SystemError) {
    let code = cprocess_become_subreaper()
    if code != 0 { throw SystemError("prctl(PR_SET_CHILD_SUBREAPER)", code: code) }
  }

  static func reapOne() -> Reaped {
    var pid: pid_t = 0
    var exitCode: Int32 = 0
    var signal: Int32 = 0
    switch unsafe cprocess_reap_any(&pid, &exitCode, &signal) {
    case 1: return .ended(pid: pid, exitCode: exitCode, signal: signal)
    case 0: return .noneEnded
    default: return .noneLeft
    }
  }

  static var cpuSeconds: Double { cprocess_children_cpu_seconds() }
}
