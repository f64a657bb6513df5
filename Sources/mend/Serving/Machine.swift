import Glibc
import MendRPC

/// This machine's resources.
enum Machine {
  /// Processors that this process may use.
  static var cpus: Int {
    let online = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    // Hexadecimal digits in groups, one bit for each processor.
    guard let status = read("/proc/self/status"),
      let mask = status.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed:") })
    else { return online }
    let allowed = mask.drop { $0 != "\t" }.reduce(0) { $0 + ($1.hexDigitValue ?? 0).nonzeroBitCount }
    return allowed > 0 ? min(online, allowed) : online
  }

  /// Physical memory, or the control group's limit if that is less.
  static var memoryBytes: Int64 {
    let pages = Int64(sysconf(Int32(_SC_PHYS_PAGES)))
    let physical = pages * Int64(sysconf(Int32(_SC_PAGESIZE)))
    guard let text = read("/sys/fs/cgroup/memory.max")?.split(whereSeparator: \.isWhitespace).first,
      let limit = Int64(text), limit > 0
    else { return physical }
    return min(physical, limit)
  }

  /// Devices named `/dev/nvidia0`, `/dev/nvidia1` and so on.
  static var gpus: Int {
    var count = 0
    while access("/dev/nvidia\(count)", F_OK) == 0 { count += 1 }
    return count
  }

  /// The path of this program, to start it again.
  static var programPath: String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    let length = readlink("/proc/self/exe", &buffer, Int(PATH_MAX))
    guard length > 0 else { return CommandLine.arguments.first ?? "mend" }
    return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func read(_ path: String) -> String? {
    (try? WholeFile.bytes(of: path, limit: 65_536)).map { String(decoding: $0, as: UTF8.self) }
  }
}
