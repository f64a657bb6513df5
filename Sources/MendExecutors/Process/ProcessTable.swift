internal import Glibc

/// Reads /proc. What is not there is left out; what could not be read is thrown, for nothing is known of it then.
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
    (try? FileSystem.read("/proc/sys/kernel/random/boot_id"))
    .map { String(decoding: $0.filter { $0 > 0x20 }, as: UTF8.self) } ?? ""

  static let pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))

  static let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))

  static var ownPID: Int32 { getpid() }

  static var ownIdentity: ProcessIdentity {
    get throws(SystemError) {
      guard let own = try status(of: ownPID) else { throw SystemError("read /proc/self/stat", code: ESRCH) }
      return ProcessIdentity(pid: own.pid, startTicks: own.startTicks, bootID: bootID)
    }
  }

  /// nil: there is no such process (any more).
  static func status(of pid: Int32) throws(SystemError) -> Status? {
    guard let bytes = try FileSystem.read("/proc/\(pid)/stat") else { return nil }
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

  /// Children of all its threads. May miss some while they come and go; ask again.
  static func children(of process: Status) throws(SystemError) -> [Int32] {
    let tasks = "/proc/\(process.pid)/task"
    let threads = process.threads == 1 ? ["\(process.pid)"] : try FileSystem.names(in: tasks)
    var found: [Int32] = []
    for thread in threads {
      let children = try FileSystem.read("\(tasks)/\(thread)/children") ?? []
      for child in children.split(separator: UInt8(ascii: " ")) {
        if let pid = decimal(child) { found.append(Int32(truncatingIfNeeded: pid)) }
      }
    }
    return found
  }

  /// All processes below `pid`, parents before children; ended ones that nobody has collected only where they are asked
  /// for.
  static func descendants(of pid: Int32, withEnded: Bool = false) throws(SystemError) -> [Status] {
    guard let root = try status(of: pid) else { return [] }
    var found: [Status] = []
    var seen: Set<Int32> = [pid]
    var open = [root]
    while let next = open.popLast() {
      for child in try children(of: next) where seen.insert(child).inserted {
        guard let status = try status(of: child) else { continue }
        open.append(status)
        if withEnded || !status.isDead { found.append(status) }
      }
    }
    return found
  }

  /// Every process of this user but this one, and root's of every user: attempts may run as another. Ended ones are left
  /// out.
  static func ownedProcesses() throws(SystemError) -> [Status] {
    let user = geteuid()
    return try processes { pid throws(SystemError) in
      if user == 0 { return true }
      return try FileSystem.owner(of: "/proc/\(pid)") == user
    }
  }

  /// Every process but this one, whoever's it is; ended ones are left out.
  static func allProcesses() throws(SystemError) -> [Status] { try processes { _ in true } }

  private static func processes(
    where isMeant: (Int32) throws(SystemError) -> Bool
  ) throws(SystemError) -> [Status] {
    var found: [Status] = []
    for name in try FileSystem.names(in: "/proc") {
      guard let pid = Int32(name), pid != ownPID, try isMeant(pid), let status = try status(of: pid), !status.isDead
      else { continue }
      found.append(status)
    }
    return found
  }

  /// Whether the environment that it was started with has this entry. That of another user is kept from all but root, and
  /// is taken for none.
  static func environment(of pid: Int32, contains entry: String) throws(SystemError) -> Bool {
    guard let bytes = try readUnlessKept("/proc/\(pid)/environ") else { return false }
    let wanted = Array(entry.utf8)
    return bytes.split(separator: 0).contains { $0.elementsEqual(wanted) }
  }

  /// Of its program, unless it gave itself another; empty where there is no such process.
  static func name(of pid: Int32) throws(SystemError) -> [UInt8] { try FileSystem.read("/proc/\(pid)/comm") ?? [] }

  static func arguments(of pid: Int32) throws(SystemError) -> [String] {
    (try FileSystem.read("/proc/\(pid)/cmdline") ?? []).split(separator: 0, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
  }

  /// What the system keeps from this process is as good as not there: it is another user's.
  static func readUnlessKept(_ path: String) throws(SystemError) -> [UInt8]? {
    do throws(SystemError) {
      return try FileSystem.read(path)
    } catch {
      guard error.code == EACCES || error.code == EPERM else { throw error }
      return nil
    }
  }

  static func decimal(_ digits: some Collection<UInt8>) -> Int64? {
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
