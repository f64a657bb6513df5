internal import CProcess
internal import Glibc

/// Owns one open file descriptor and closes it.
struct Descriptor: ~Copyable, Sendable {
  let rawValue: Int32

  init(owning rawValue: Int32) { self.rawValue = rawValue }

  /// For calls that answer with a descriptor or the negative errno.
  init(result: Int32, of operation: String) throws(SystemError) {
    guard result >= 0 else { throw SystemError(operation, code: -result) }
    self.rawValue = result
  }

  deinit { _ = close(rawValue) }

  /// Reads what is there now into the buffer from `offset` on; the buffer keeps its size.
  borrowing func read(into buffer: inout [UInt8], from offset: Int = 0) -> ReadOutcome {
    let room = buffer.count - offset
    let count = unsafe buffer.withUnsafeMutableBytes { buffer in
      Self.retrying { unsafe Glibc.read(rawValue, buffer.baseAddress.map { unsafe $0 + offset }, room) }
    }
    if count > 0 { return .some(count) }
    return count < 0 && errno == EAGAIN ? .nothingYet : .end
  }

  /// All that follows; nil where that has to be waited for. Files of /proc say nothing of their size.
  borrowing func readToEnd() -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    var count = 0
    while true {
      if count == bytes.count { bytes.append(contentsOf: repeatElement(0, count: count)) }
      switch read(into: &bytes, from: count) {
      case .some(let more): count += more
      case .end:
        bytes.removeLast(bytes.count - count)
        return bytes
      case .nothingYet: return nil
      }
    }
  }

  enum ReadOutcome {
    case some(Int)
    case nothingYet
    /// Of the file, or it cannot be read.
    case end
  }

  /// Writes all of it; false if that failed (a full disk).
  borrowing func write(_ bytes: ArraySlice<UInt8>) -> Bool {
    unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = Self.retrying {
          unsafe Glibc.write(rawValue, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done)
        }
        guard count > 0 else { return false }
        done += count
      }
      return true
    }
  }

  /// The same at a place of its own in a file; what lies before it may be missing.
  borrowing func write(_ bytes: ArraySlice<UInt8>, at offset: Int64) -> Bool {
    unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let place = off_t(offset) + done
        let count = Self.retrying {
          unsafe pwrite(rawValue, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, place)
        }
        guard count > 0 else { return false }
        done += count
      }
      return true
    }
  }

  /// At most `limit` bytes from `offset` on; none at the end of the file and where it cannot be read.
  borrowing func read(at offset: Int64, limit: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
      let base = buffer.baseAddress
      count = max(0, Self.retrying { unsafe pread(rawValue, base, limit, off_t(offset)) })
    }
  }

  borrowing func synchronize() -> Bool { fsync(rawValue) == 0 }

  /// Takes the whole-file lock; it belongs to this open file and all its duplicates, across exec too.
  borrowing func tryLock() -> Bool { flock(rawValue, LOCK_EX | LOCK_NB) == 0 }

  private static func retrying(_ call: () -> Int) -> Int {
    while true {
      let result = call()
      if result >= 0 || errno != EINTR { return result }
    }
  }
}

/// What the system answered to a call; `code` is errno.
struct SystemError: Error, CustomStringConvertible {
  var operation: String
  var code: Int32

  init(_ operation: String, code: Int32 = errno) {
    self.operation = operation
    self.code = code
  }

  /// Of what the whole machine has: room for processes, descriptors, memory, a disk.
  var isShortage: Bool { [EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT, EIO, EROFS].contains(code) }

  /// errno's text alone: "No such file or directory".
  var reason: String { unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)" }
  var description: String { "\(operation): \(reason)" }
}

/// The few file calls that an attempt directory needs; all block.
enum FileSystem {
  static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(SystemError) -> Descriptor {
    let raw = unsafe Glibc.open(path, flags | O_CLOEXEC, mode)
    guard raw >= 0 else { throw SystemError("open \(path)") }
    return Descriptor(owning: raw)
  }

  /// Both ends of a pipe; the reading one does not block.
  static func pipe() throws(SystemError) -> Pipe {
    var reading: Int32 = -1
    var writing: Int32 = -1
    let code = unsafe cprocess_pipe(&reading, &writing)
    guard code == 0 else { throw SystemError("pipe", code: code) }
    return Pipe(reading: Descriptor(owning: reading), writing: Descriptor(owning: writing))
  }

  struct Pipe: ~Copyable {
    let reading: Descriptor
    let writing: Descriptor
  }

  static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  /// False if something of that name is there already.
  static func createDirectory(_ path: String, mode: mode_t = 0o700) throws(SystemError) -> Bool {
    if unsafe mkdir(path, mode) == 0 { return true }
    if errno == EEXIST { return false }
    throw SystemError("mkdir \(path)")
  }

  /// Says that the directories to come in this one have nothing to do with each other (`chattr +T`): the file system, if
  /// it is one that cares, puts each where there is most room.
  static func spread(below path: String) {
    guard let directory = try? open(path, O_RDONLY | O_DIRECTORY) else { return }
    cprocess_spread_subdirectories(directory.rawValue)
  }

  static func remove(_ path: String) { _ = unsafe unlink(path) }

  static func rename(_ path: String, to other: String) throws(SystemError) {
    guard unsafe Glibc.rename(path, other) == 0 else { throw SystemError("rename \(path)") }
  }

  /// The whole file; nil if it cannot be read.
  static func read(_ path: String) -> [UInt8]? {
    guard let file = try? open(path, O_RDONLY) else { return nil }
    return file.readToEnd()
  }

  /// Makes the names in a directory survive a power cut.
  static func synchronizeDirectory(_ path: String) throws(SystemError) {
    let directory = try open(path, O_RDONLY | O_DIRECTORY)
    guard directory.synchronize() else { throw SystemError("fsync \(path)") }
  }

  /// Readers see the old file or the whole new one. `durable`: it survives a power cut once this returns.
  static func write(
    _ bytes: [UInt8], to name: String, in directory: String, durable: Bool = false
  ) throws(SystemError) {
    let path = "\(directory)/\(name)"
    let temporary = "\(path).tmp"
    do {
      let file = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC)
      guard file.write(bytes[...]), !durable || file.synchronize() else { throw SystemError("write \(temporary)") }
    }
    try rename(temporary, to: path)
    if durable { try synchronizeDirectory(directory) }
  }

  /// Names in a directory; empty if it cannot be read.
  static func names(in directory: String) -> [String] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { buffer in
        unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// The user that a file (or a process's directory in /proc) belongs to.
  static func owner(of path: String) -> uid_t? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? status.st_uid : nil
  }

  /// Milliseconds since the epoch.
  static func wallClockMilliseconds() -> Int64 {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
