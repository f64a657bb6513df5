import Foundation
import Glibc
import MendCore

/// What time it is as a server starts: within one boot of the machine by its monotonic clock, whatever the wall clock was
/// set to since the server before; else by the wall clock, but never before the journal's latest change.
struct ClockBeginning {
  /// What one server leaves for the next: how far its time was ahead of the time since the boot.
  struct Word: Equatable {
    var boot: String
    var offsetMilliseconds: Int64

    init(boot: String, offsetMilliseconds: Int64) {
      self.boot = boot
      self.offsetMilliseconds = offsetMilliseconds
    }

    /// Nil for anything that is not one.
    init?(_ text: String) {
      let words = text.split(whereSeparator: \.isWhitespace)
      guard words.count == 2, let offset = Int64(words[1]) else { return nil }
      self.init(boot: String(words[0]), offsetMilliseconds: offset)
    }

    var text: String { "\(boot) \(offsetMilliseconds)\n" }
  }

  var wall: Instant
  var monotonicNanoseconds: UInt64
  /// Empty where the system does not say.
  var boot: String
  var origin: Instant

  init(
    wall: Instant, monotonicNanoseconds: UInt64, boot: String, word: Word?, latestChange: Instant?
  ) {
    self.wall = wall
    self.monotonicNanoseconds = monotonicNanoseconds
    self.boot = boot
    let sinceBoot = Int64(monotonicNanoseconds / 1_000_000)
    if let word, !boot.isEmpty, word.boot == boot {
      let (sum, overflows) = sinceBoot.addingReportingOverflow(word.offsetMilliseconds)
      origin = overflows ? wall : Instant(milliseconds: sum)
    } else {
      origin = latestChange.map { max(wall, $0) } ?? wall
    }
  }

  init(startingFrom directory: String?) {
    self.init(
      wall: Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)),
      monotonicNanoseconds: Self.monotonicNanoseconds(), boot: Self.boot(),
      word: directory.flatMap { Self.read(Self.path(in: $0)).flatMap(Word.init) },
      latestChange: directory.flatMap(Self.latestChange))
  }

  /// For the next server. One that cannot be left is not missed before the wall clock is set.
  func leaveWord(in directory: String) {
    guard !boot.isEmpty else { return }
    let word = Word(boot: boot, offsetMilliseconds: origin.milliseconds - Int64(monotonicNanoseconds / 1_000_000))
    try? Data(word.text.utf8).write(to: URL(filePath: Self.path(in: directory)), options: .atomic)
  }

  static func path(in directory: String) -> String { directory + "/clock" }

  /// Also while the machine is suspended, as `ContinuousClock` has it.
  @Sendable static func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  static func boot() -> String { read("/proc/sys/kernel/random/boot_id")?.filter { !$0.isWhitespace } ?? "" }

  private static func read(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).flatMap { String(bytes: $0.prefix(256), encoding: .utf8) }
  }

  /// Of the journal and its log, by the file system.
  private static func latestChange(in directory: String) -> Instant? {
    ["journal.sqlite", "journal.sqlite-wal"].compactMap { name in
      let attributes = try? FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
      return (attributes?[.modificationDate] as? Date).map {
        Instant(milliseconds: Int64($0.timeIntervalSince1970 * 1000))
      }
    }.max()
  }
}
