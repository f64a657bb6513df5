internal import Glibc

/// Reads /proc.
enum ProcessTable {
  struct Status: Sendable {
    var pid: Int32
    var state: UInt8
    var parent: Int32
    var group: Int32
    var session: Int32
    var threads: Int
    /// Clock ticks from boot to its start.
    var startTicks: UInt64
    /// Processor time of it and of the ended children that it has collected, in clock ticks.
    var processorTicks: Int64

    /// Ended; at most waiting to be collected. A process goes on after its first thread's end, for as long as it has
    /// another.
    var isDead: Bool { (state == UInt8(ascii: "Z") && threads <= 1) || state == UInt8(ascii: "X") }
  }

  /// Changes with every boot; empty where the kernel does not tell.
  static let bootID: String =
    FileSystem.read("/proc/sys/kernel/random/boot_id")
    .map { String(decoding: $0.filter { $0 > 0x20 }, as: UTF8.self) } ?? ""

  static let pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))

  static let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))

  static var ownPID: Int32 { getpid() }

  static var ownIdentity: ProcessIdentity {
    get throws(SystemError) {
      guard let own = status(of: ownPID) else { throw SystemError("read /proc/self/stat", code: ESRCH) }
      return ProcessIdentity(pid: own.pid, startTicks: own.startTicks, bootID: bootID)
    }
  }

  /// nil: there is no such process (any more).
  static func status(of pid: Int32) -> Status? {
    guard let bytes = FileSystem.read("/proc/\(pid)/stat") else { return nil }
    return status(fromStat: bytes, pid: pid)
  }

  /// The name in field 2 may hold spaces and parentheses; what follows the last `)` starts with field 3 (proc(5)).
  static func status(fromStat bytes: [UInt8], pid: Int32) -> Status? {
    guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19, let state = fields[0].first, let parent = decimal(fields[1]),
      let group = decimal(fields[2]), let session = decimal(fields[3]), let threads = decimal(fields[17]),
      let start = decimal(fields[19])
    else { return nil }
    return Status(
      pid: pid, state: state, parent: Int32(truncatingIfNeeded: parent),
      group: Int32(truncatingIfNeeded: group), session: Int32(truncatingIfNeeded: session), threads: Int(threads),
      startTicks: UInt64(start),
      processorTicks: fields[11...14].reduce(0) { $0 + (decimal($1) ?? 0) })
  }

  /// What these processes take: what each has resident for itself, and the most that one of them shares as memory.
  ///
  /// The latter is what all of them share at the least: who shares what with whom is not told at a bearable price. Programs
  /// and files that are mapped are nobody's. What is gone takes nothing.
  static func memoryBytes(of processes: [Status]) -> Int64 {
    var own: Int64 = 0
    var mostShared: Int64 = 0
    for process in processes {
      // The first thread of a process may be over before it.
      let isOver = process.state == UInt8(ascii: "Z")
      let tasks = "/proc/\(process.pid)/task"
      let directory =
        isOver
        ? "\(tasks)/\(FileSystem.names(in: tasks).first { $0 != "\(process.pid)" } ?? "\(process.pid)")"
        : "/proc/\(process.pid)"
      guard let bytes = FileSystem.read("\(directory)/statm") else { continue }
      let fields = bytes.split(separator: UInt8(ascii: " "), maxSplits: 3)
      guard fields.count > 2, let resident = decimal(fields[1]), let shared = decimal(fields[2]) else { continue }
      own += max(0, resident - shared) * pageBytes
      // Of files for the most part, which only a longer look tells.
      if shared * pageBytes > max(mostShared, Self.noticeableShare) {
        mostShared = max(mostShared, sharedMemory(directory))
      }
    }
    return own + mostShared
  }

  private static let noticeableShare: Int64 = 8 << 20

  /// RssShmem of proc(5).
  private static func sharedMemory(_ directory: String) -> Int64 {
    let name = Array("RssShmem:".utf8)
    let line = (FileSystem.read("\(directory)/status") ?? []).split(separator: UInt8(ascii: "\n"))
      .first { $0.starts(with: name) }
    let digits = line?.filter { (0x30...0x39).contains($0) } ?? []
    return (decimal(digits) ?? 0) << 10
  }

  /// Children of all its threads. May miss some while they come and go; ask again.
  static func children(of process: Status) -> [Int32] {
    let tasks = "/proc/\(process.pid)/task"
    let threads = process.threads == 1 ? ["\(process.pid)"] : FileSystem.names(in: tasks)
    return threads.flatMap { thread -> [Int32] in
      (FileSystem.read("\(tasks)/\(thread)/children") ?? [])
        .split(separator: UInt8(ascii: " ")).compactMap { decimal($0).map(Int32.init(truncatingIfNeeded:)) }
    }
  }

  /// All processes below `pid`, parents before children; ended ones that nobody has collected only where they are asked
  /// for.
  static func descendants(of pid: Int32, withEnded: Bool = false) -> [Status] {
    guard let root = status(of: pid) else { return [] }
    var found: [Status] = []
    var seen: Set<Int32> = [pid]
    var open = [root]
    while let next = open.popLast() {
      for child in children(of: next) where seen.insert(child).inserted {
        guard let status = status(of: child) else { continue }
        open.append(status)
        if withEnded || !status.isDead { found.append(status) }
      }
    }
    return found
  }

  /// Every process of this user but this one, and root's of every user: attempts may run as another. Ended ones are left
  /// out.
  static func ownedProcesses() -> [Status] {
    let user = geteuid()
    return processes { user == 0 || FileSystem.owner(of: "/proc/\($0)") == user }
  }

  /// Every process but this one, whoever's it is; ended ones are left out.
  static func allProcesses() -> [Status] { processes { _ in true } }

  private static func processes(where isMeant: (Int32) -> Bool) -> [Status] {
    FileSystem.names(in: "/proc").compactMap { name in
      guard let pid = Int32(name), pid != ownPID, isMeant(pid), let status = status(of: pid), !status.isDead else {
        return nil
      }
      return status
    }
  }

  /// Whether the environment that it was started with has this entry.
  static func environment(of pid: Int32, contains entry: String) -> Bool {
    guard let bytes = FileSystem.read("/proc/\(pid)/environ") else { return false }
    let wanted = Array(entry.utf8)
    return bytes.split(separator: 0).contains { $0.elementsEqual(wanted) }
  }

  /// Of its program, unless it gave itself another; empty where there is no such process.
  static func name(of pid: Int32) -> [UInt8] { FileSystem.read("/proc/\(pid)/comm") ?? [] }

  static func arguments(of pid: Int32) -> [String] {
    (FileSystem.read("/proc/\(pid)/cmdline") ?? []).split(separator: 0, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
  }

  private static func decimal(_ digits: some Collection<UInt8>) -> Int64? {
    var value: Int64 = 0
    var any = false
    for digit in digits where digit != UInt8(ascii: "\n") {
      guard (0x30...0x39).contains(digit) else { return digit == UInt8(ascii: "-") ? -1 : nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      guard !overflow else { return nil }
      value = product + Int64(digit - 0x30)
      any = true
    }
    return any ? value : nil
  }
}
