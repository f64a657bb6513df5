internal import Glibc

extension ProcessTable {
  /// Between what one of the processes takes and what all of them would if they had no pages in common.
  struct Memory {
    var least: Int64
    var most: Int64

    /// What they have in common, if anything, may be a good part of it.
    var isVague: Bool { most > least + least / 4 }
  }

  /// What these processes take: what each has resident for itself, and the most that one of them shares as memory. Cheap,
  /// and at most too much where processes were forked: pages that they have in common count once for each.
  ///
  /// What is shared as memory is what all of them share at the least: who shares what with whom is not told at a bearable
  /// price. Programs and files that are mapped are nobody's. What is gone takes nothing.
  static func memory(of processes: [Status]) throws(SystemError) -> Memory {
    var own: Int64 = 0
    var mostOwn: Int64 = 0
    var mostShared: Int64 = 0
    for process in processes {
      let directory = try directoryOfMemory(process)
      guard let bytes = try readIfShown("\(directory)/statm") else { continue }
      let fields = bytes.split(separator: UInt8(ascii: " "), maxSplits: 3)
      guard fields.count > 2, let resident = decimal(fields[1]), let shared = decimal(fields[2]) else { continue }
      own += max(0, resident - shared) * pageBytes
      mostOwn = max(mostOwn, (resident - shared) * pageBytes)
      // Of files for the most part, which only a longer look tells.
      if shared * pageBytes > max(mostShared, noticeableShare) {
        mostShared = max(mostShared, try sharedMemory(directory))
      }
    }
    return Memory(least: mostOwn + mostShared, most: own + mostShared)
  }

  /// The same with each page once, however many processes have it in common: the system divides it among them. It looks
  /// at every page for that, so this is for where it matters.
  static func exactMemoryBytes(of processes: [Status]) throws(SystemError) -> Int64 {
    var own: Int64 = 0
    var mostShared: Int64 = 0
    for process in processes {
      let directory = try directoryOfMemory(process)
      guard let bytes = try readIfShown("\(directory)/smaps_rollup"), !bytes.isEmpty else {
        // Another user's, or gone.
        own += try memory(of: [process]).most
        continue
      }
      // Of what is its own alone or forked from it; an older kernel tells the sum with files' pages.
      own += field("Pss_Anon:", in: bytes) ?? min(field("Pss:", in: bytes) ?? 0, field("Anonymous:", in: bytes) ?? .max)
      mostShared = max(mostShared, try sharedMemory(directory))
    }
    return own + mostShared
  }

  /// The first thread of a process may be over before it, and shows nothing of its memory then.
  private static func directoryOfMemory(_ process: Status) throws(SystemError) -> String {
    guard process.state == UInt8(ascii: "Z") else { return "/proc/\(process.pid)" }
    let tasks = "/proc/\(process.pid)/task"
    return "\(tasks)/\(try FileSystem.names(in: tasks).first { $0 != "\(process.pid)" } ?? "\(process.pid)")"
  }

  /// RssShmem of proc(5).
  private static func sharedMemory(_ directory: String) throws(SystemError) -> Int64 {
    guard let bytes = try readIfShown("\(directory)/status") else { return 0 }
    return field("RssShmem:", in: bytes) ?? 0
  }

  private static let noticeableShare: Int64 = 8 << 20

  /// `NAME      123 kB`, in bytes.
  private static func field(_ name: String, in bytes: [UInt8]) -> Int64? {
    let name = Array(name.utf8)
    let line = bytes.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: name) }
    return line.flatMap { decimal($0.dropFirst(name.count).filter { (0x30...0x39).contains($0) }) }.map { $0 << 10 }
  }
}
