import Glibc
import MendRPC

/// What the system reports about this process; nil if it does not.
enum ProcessFigures {
  /// The second figure of /proc/self/statm, in pages.
  static func residentBytes() -> Int? {
    guard let bytes = try? WholeFile.bytes(of: "/proc/self/statm", limit: 4096) else { return nil }
    let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
    guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// User and system time of all threads.
  static func cpuSeconds() -> Double? {
    var time = timespec()
    guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return nil }
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
