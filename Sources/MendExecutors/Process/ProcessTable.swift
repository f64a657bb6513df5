internal import Glibc

/// Reads /proc. What is not there is left out. What could not be read for want of descriptors or memory is thrown, for
/// nothing is known of it then. What of one process is kept from this one, or is not as it should be, is that process's
/// doing or its owner's: it is passed over, or any user could keep everybody's attempts from being ended.
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
    /// The system keeps it from this process, which knows no more than whose child it is.
    var isKept = false

    var identity: ProcessIdentity { ProcessIdentity(pid: pid, startTicks: startTicks, bootID: ProcessTable.bootID) }

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

  /// What was seen, and what kept this process from seeing more.
  struct Look {
    var processes: [Status] = []
    var failure: SystemError?
    /// Some are kept from this process.
    var isPartial = false

    func get() throws(SystemError) -> [Status] {
      if let failure { throw failure }
      return processes
    }
  }

  /// Children of all its threads. May miss some while they come and go; ask again.
  static func children(of process: Status) throws(SystemError) -> [Int32] {
    if process.isKept { return [] }
    let tasks = "/proc/\(process.pid)/task"
    let threads = process.threads == 1 ? ["\(process.pid)"] : try FileSystem.names(in: tasks)
    var found: [Int32] = []
    for thread in threads {
      let children = try readIfShown("\(tasks)/\(thread)/children") ?? []
      for child in children.split(separator: UInt8(ascii: " ")) {
        if let pid = decimal(child) { found.append(Int32(truncatingIfNeeded: pid)) }
      }
    }
    return found
  }

  /// All processes below `pid`, parents before children; ended ones that nobody has collected only where they are asked
  /// for.
  static func descendants(of pid: Int32, withEnded: Bool = false) throws(SystemError) -> [Status] {
    try look(below: pid, withEnded: withEnded).get()
  }

  /// The same as far as it can be looked now.
  static func look(below pid: Int32, withEnded: Bool = false) -> Look {
    var look = Look()
    var seen: Set<Int32> = [pid]
    var open: [Status] = []
    do throws(SystemError) { open += try status(of: pid).map { [$0] } ?? [] } catch { look.failure = error }
    while let next = open.popLast() {
      do throws(SystemError) {
        for child in try children(of: next) where seen.insert(child).inserted {
          do throws(SystemError) {
            guard let status = try status(of: child, below: next) else { continue }
            open.append(status)
            if withEnded || !status.isDead { look.processes.append(status) }
          } catch {
            look.failure = error
          }
        }
      } catch {
        look.failure = error
      }
    }
    return look
  }

  /// Of a child that its parent's list had: where that alone is known of it, so much.
  private static func status(of child: Int32, below parent: Status) throws(SystemError) -> Status? {
    if let status = try readIfShown("/proc/\(child)/stat").flatMap({ status(fromStat: $0, pid: child) }) {
      return status
    }
    // It ended and was collected, most often; then it has no number any more, or its number is not its parent's child's.
    guard kill(child, 0) == 0 || errno == EPERM, try children(of: parent).contains(child) else { return nil }
    return Status(
      pid: child, state: UInt8(ascii: "?"), parent: parent.pid, group: 0, session: 0, threads: 1, startTicks: 0,
      processorTicks: 0, isKept: true)
  }

  /// Children that the system keeps from this process.
  static func keptChildren(of parent: Status) throws(SystemError) -> [Status] {
    var found: [Status] = []
    for child in try children(of: parent) {
      if let status = try status(of: child, below: parent), status.isKept { found.append(status) }
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
    }.get()
  }

  /// Every process but this one, whoever's it is; ended ones are left out.
  static func allProcesses() -> Look { processes { _ in true } }

  private static func processes(where isMeant: (Int32) throws(SystemError) -> Bool) -> Look {
    var look = Look()
    var names: [String] = []
    do throws(SystemError) { names = try FileSystem.names(in: "/proc") } catch { look.failure = error }
    for name in names {
      guard let pid = Int32(name), pid != ownPID else { continue }
      do throws(SystemError) {
        guard try isMeant(pid), let status = try status(of: pid), !status.isDead else { continue }
        look.processes.append(status)
      } catch {
        if error.keepsFromLooking { look.failure = error } else { look.isPartial = true }
      }
    }
    return look
  }

  /// Whether the environment that it was started with has this entry.
  static func environment(of pid: Int32, contains entry: String) throws(SystemError) -> Bool {
    guard let bytes = try readIfShown("/proc/\(pid)/environ", limit: largestStart)?.bytes else { return false }
    let wanted = Array(entry.utf8)
    // By the library's own search: others' environments may be long.
    return unsafe bytes.withUnsafeBytes { bytes in
      guard let first = bytes.baseAddress else { return false }
      var offset = 0
      while offset < bytes.count {
        let (start, left) = unsafe (first + offset, bytes.count - offset)
        let count = unsafe memchr(start, 0, left).map { unsafe UnsafeRawPointer($0) - start } ?? left
        if unsafe count == wanted.count && memcmp(start, wanted, count) == 0 { return true }
        offset += count + 1
      }
      return false
    }
  }

  /// Arguments and environment of a program take no more when it starts (execve(2)). What has more made itself so, and
  /// what it was started with, if that is left, comes first.
  private static let largestStart = 6 << 20

  /// Of its program, unless it gave itself another; empty where there is no such process.
  static func name(of pid: Int32) throws(SystemError) -> [UInt8] { try readIfShown("/proc/\(pid)/comm") ?? [] }

  /// As many as fit into `argumentBytes`, each whole.
  static func arguments(of pid: Int32) throws(SystemError) -> [String] {
    guard let (bytes, isWhole) = try readIfShown("/proc/\(pid)/cmdline", limit: argumentBytes) else { return [] }
    let arguments = bytes.split(separator: 0, omittingEmptySubsequences: false)
    return arguments.dropLast(isWhole ? 0 : 1).map { String(decoding: $0, as: UTF8.self) }
  }

  /// One argument has no more (execve(2)), and no supervisor as much.
  private static let argumentBytes = 128 << 10

  /// What the system keeps from this process, and what is not as it should be, is as good as not there: it is not ours.
  static func readIfShown(_ path: String) throws(SystemError) -> [UInt8]? {
    try readIfShown(path, limit: 16 << 20)?.bytes
  }

  private static func readIfShown(
    _ path: String, limit: Int
  ) throws(SystemError) -> (bytes: [UInt8], isWhole: Bool)? {
    do throws(SystemError) {
      return try FileSystem.open(path, O_RDONLY).readBeginning(limit: limit)
    } catch {
      guard error.keepsFromLooking else { return nil }
      throw SystemError("read \(path)", code: error.code)
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
