internal import Glibc

/// Removes a directory with all that programs may have put into it: deeper than a path can say, under names that are no
/// text, without the right to be read.
///
/// Directories below it are moved up next to it before they are emptied, so that no path grows and nothing calls itself.
/// Links are removed and never followed; what is mounted there is left alone.
struct TreeRemoval: ~Copyable {
  private let directory: Descriptor
  private var left: [String] = []
  private var failure: SystemError?

  /// Removes all of it that can be removed, and throws the first thing that kept something from it. `directory` holds it,
  /// and nothing else that matters.
  static func remove(_ name: String, in directory: String) throws(SystemError) {
    var removal = TreeRemoval(directory: try FileSystem.open(directory, O_RDONLY | O_DIRECTORY))
    removal.left = [name]
    while let next = removal.left.popLast() { removal.remove(next) }
    if let failure = removal.failure { throw failure }
  }

  private init(directory: consuming Descriptor) { self.directory = directory }

  private mutating func remove(_ name: String) {
    var raw = open(name)
    if raw < 0, errno == EACCES, unsafe fchmodat(directory.rawValue, name, 0o700, 0) == 0 { raw = open(name) }
    // Gone is what it is to be.
    if raw < 0, errno == ENOENT { return }
    guard raw >= 0 else { return note("open \(name)") }
    guard let stream = unsafe fdopendir(raw) else {
      note("opendir \(name)")
      close(raw)
      return
    }
    while let entry = unsafe readdir(stream) {
      unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe removeEntry($0, of: raw, name) }
      }
    }
    _ = unsafe closedir(stream)
    if unsafe unlinkat(directory.rawValue, name, AT_REMOVEDIR) < 0 { note("rmdir \(name)") }
  }

  private func open(_ name: String) -> Int32 {
    unsafe openat(directory.rawValue, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
  }

  private mutating func removeEntry(_ entry: UnsafePointer<CChar>, of parent: Int32, _ name: String) {
    if unsafe strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0 || unlinkat(parent, entry, 0) == 0 { return }
    guard errno == EISDIR else { return note("unlink in \(name)") }
    let moved = Self.newName()
    func move() -> Bool { unsafe renameat(parent, entry, directory.rawValue, moved) == 0 }
    var isMoved = move()
    // Only where the right to change it is missing: what is mounted there has its own.
    if !isMoved, errno == EACCES, unsafe fchmodat(parent, entry, 0o700, 0) == 0 { isMoved = move() }
    guard isMoved else { return note("rename in \(name)") }
    left.append(moved)
  }

  private mutating func note(_ call: String) { failure = failure ?? SystemError(call) }

  /// That nothing else has.
  static func newName() -> String { String(UInt64.random(in: 0 ... .max), radix: 16) }
}
