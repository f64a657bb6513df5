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
    if count == 0 { return .end }
    return errno == EAGAIN ? .nothingYet : .failed(errno)
  }

  /// All that follows. Files of /proc say nothing of their size. Throws EAGAIN where it has to be waited for, and EFBIG
  /// where it is more than `limit` bytes.
  borrowing func readToEnd(limit: Int) throws(SystemError) -> [UInt8] {
    // A hole takes long to read.
    if size > limit { throw SystemError("read", code: EFBIG) }
    let (bytes, isWhole) = try readBeginning(limit: limit)
    if !isWhole { throw SystemError("read", code: EFBIG) }
    return bytes
  }

  /// What follows, up to about `limit` bytes, and whether that is all. Throws EAGAIN where it has to be waited for.
  borrowing func readBeginning(limit: Int) throws(SystemError) -> (bytes: [UInt8], isWhole: Bool) {
    var bytes = [UInt8](repeating: 0, count: max(4096, min(size, limit) + 1))
    var count = 0
    var isWhole = false
    while !isWhole, count <= limit {
      if count == bytes.count { bytes.append(contentsOf: repeatElement(0, count: count)) }
      switch read(into: &bytes, from: count) {
      case .some(let more): count += more
      case .end: isWhole = true
      case .nothingYet: throw SystemError("read", code: EAGAIN)
      case .failed(let code): throw SystemError("read", code: code)
      }
    }
    bytes.removeLast(bytes.count - count)
    return (bytes, isWhole)
  }

  /// As far as the system says it.
  private var size: Int {
    var status = stat()
    return unsafe fstat(rawValue, &status) == 0 ? Int(status.st_size) : 0
  }

  enum ReadOutcome {
    case some(Int)
    case nothingYet
    case end
    /// errno
    case failed(Int32)
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

  /// It was removed; only who has it open sees it.
  borrowing func isUnlinked() -> Bool {
    var status = stat()
    return unsafe fstat(rawValue, &status) == 0 && status.st_nlink == 0
  }

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
struct SystemError: Error, Equatable, CustomStringConvertible {
  var operation: String
  var code: Int32

  init(_ operation: String, code: Int32 = errno) {
    self.operation = operation
    self.code = code
  }

  /// Of what the whole machine has: room for processes, descriptors, memory, a disk.
  var isShortage: Bool { [EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT, EFBIG, EIO, EROFS].contains(code) }

  /// What was asked for is not there, which is an answer. After any other error nothing is known of it.
  var isAbsence: Bool { code == ENOENT || code == ESRCH }

  /// It is this process that has no room to look, or a disk that fails. Any other error in reading of one process is that
  /// process's: it is another user's, or made itself so.
  var keepsFromLooking: Bool { [EAGAIN, ENOMEM, EMFILE, ENFILE, ENOBUFS, EIO].contains(code) }

  /// The place of a file that Mend writes is taken by something else, such as a pipe or a link.
  static let isNoFile: Int32 = -1

  /// errno's text alone: "No such file or directory".
  var reason: String {
    if code == Self.isNoFile { return "Not a regular file" }
    return unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
  }
  var description: String { "\(operation): \(reason)" }
}

/// The few file calls that an attempt directory needs; all block.
enum FileSystem {
  static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(SystemError) -> Descriptor {
    let raw = unsafe Glibc.open(path, flags | O_CLOEXEC, mode)
    guard raw >= 0 else { throw SystemError("open \(path)") }
    return Descriptor(owning: raw)
  }

  /// A file of Mend's own, which a job may have put anything in the place of: a pipe would be waited for, a device never
  /// ends, a link leads elsewhere. None of them is opened.
  static func openRegular(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(SystemError) -> Descriptor {
    let raw = unsafe Glibc.open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, mode)
    let failure = SystemError("open \(path)")
    var status = stat()
    guard raw >= 0 else {
      let isThere = unsafe lstat(path, &status) == 0
      throw isThere && status.st_mode & S_IFMT != S_IFREG
        ? SystemError("open \(path)", code: SystemError.isNoFile) : failure
    }
    let descriptor = Descriptor(owning: raw)
    guard unsafe fstat(raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw SystemError("open \(path)", code: SystemError.isNoFile)
    }
    return descriptor
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

  /// Throws where that cannot be told.
  static func exists(_ path: String) throws(SystemError) -> Bool {
    if unsafe access(path, F_OK) == 0 { return true }
    let error = SystemError("look for \(path)")
    guard error.isAbsence else { throw error }
    return false
  }

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

  /// The whole of a file of the system's, such as those of /proc; nil if it is not there. Throws where that cannot be told.
  static func read(_ path: String, limit: Int = 16 << 20) throws(SystemError) -> [UInt8]? {
    do throws(SystemError) {
      return try open(path, O_RDONLY).readToEnd(limit: limit)
    } catch {
      guard error.isAbsence else { throw SystemError("read \(path)", code: error.code) }
      return nil
    }
  }

  /// The same of a file of Mend's own.
  static func readRegular(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
    do throws(SystemError) {
      return try openRegular(path, O_RDONLY).readToEnd(limit: limit)
    } catch {
      guard error.isAbsence else { throw SystemError("read \(path)", code: error.code) }
      return nil
    }
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

  /// Names in a directory; none if it is not there. Throws where that cannot be told.
  static func names(in directory: String) throws(SystemError) -> [String] {
    guard let stream = unsafe opendir(directory) else {
      let error = SystemError("list \(directory)")
      guard error.isAbsence else { throw error }
      return []
    }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(stream) else {
        let error = SystemError("list \(directory)")
        guard error.code == 0 || error.isAbsence else { throw error }
        return names
      }
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { buffer in
        unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }

  /// The user that a file (or a process's directory in /proc) belongs to; nil if it is not there.
  static func owner(of path: String) throws(SystemError) -> uid_t? {
    var status = stat()
    if unsafe stat(path, &status) == 0 { return status.st_uid }
    let error = SystemError("stat \(path)")
    guard error.isAbsence else { throw error }
    return nil
  }

  /// When it was last changed; nil if it is not there. Milliseconds since the epoch.
  static func modificationTime(of path: String) throws(SystemError) -> Int64? {
    var status = stat()
    if unsafe lstat(path, &status) == 0 {
      return Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
    }
    let error = SystemError("stat \(path)")
    guard error.isAbsence else { throw error }
    return nil
  }

  /// Milliseconds since the epoch.
  static func wallClockMilliseconds() -> Int64 {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
