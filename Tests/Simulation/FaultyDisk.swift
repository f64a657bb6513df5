import Foundation
import GRDBSQLite
import Synchronization

/// A disk beneath SQLite that fails as it is told to, for the files of one directory.
///
/// What was written since a file's last sync is known with what it took the place of: a power cut keeps some of it, loses
/// some, and leaves some half written, sector by sector. A sync costs nothing, so a thousand power cuts take seconds.
final class FaultyDisk: Sendable {
  enum Fault: String, Hashable, CaseIterable, Sendable {
    /// No room for a write; what was there before is there.
    case full
    /// Part of a write is made, and the disk is gone.
    case torn
    /// A sync fails, and what it was for may be lost.
    case refusedSync
    /// A sync says that it was made, and was not.
    case liedSync
    /// Nothing but a power cut.
    case none
  }

  private struct Change {
    var offset: Int
    var before: [UInt8]
    var after: [UInt8]
  }

  /// A file as its disk has it.
  private struct File {
    /// What a power cut may undo, in its order. A file that was cut short is one whose end became nothing.
    var unsynced: [Change] = []
    /// As long as it was at the last sync.
    var syncedLength = 0
    var length = 0
  }

  private struct State {
    var files: [String: File] = [:]
    var fault = Fault.none
    /// Writes, or syncs, until it comes.
    var countdown = 0
    var isGone = false
    /// Places in files that cannot be read.
    var unreadable: [String: Range<Int>] = [:]
    var came: [Fault] = []
  }

  let directory: String
  private let state = Mutex(State())
  static let sectorBytes = 512

  init(directory: String) {
    self.directory = directory
    FaultyDisks.shared.add(self)
  }

  /// From now on its files are as any others.
  func remove() { FaultyDisks.shared.remove(self) }

  /// The fault comes after so many more writes or syncs.
  func plan(_ fault: Fault, after countdown: Int) {
    state.withLock { ($0.fault, $0.countdown) = (fault, countdown) }
  }

  /// What came of what was planned.
  var came: [Fault] { state.withLock { $0.came } }

  /// Reading these bytes fails from now on.
  func makeUnreadable(_ name: String, _ bytes: Range<Int>) {
    state.withLock { $0.unreadable["\(directory)/\(name)"] = bytes }
  }

  /// From now on nothing is written: the process that has the files open is gone, as with kill -9.
  func die() { state.withLock { $0.isGone = true } }

  /// Another process comes.
  func revive() { state.withLock { ($0.isGone, $0.fault) = (false, .none) } }

  fileprivate var isGone: Bool { state.withLock { $0.isGone } }

  fileprivate func deleted(_ path: String) { state.withLock { $0.files[path] = nil } }

  /// What could not be read is not used any more.
  func makeReadable() { state.withLock { $0.unreadable = [:] } }

  /// The power fails, and comes back: each change since the last sync is kept, undone or half made. Nobody may have the
  /// files open.
  func cutPower(_ random: inout Random) {
    let files = state.withLock { state in
      defer { (state.files, state.fault, state.isGone) = ([:], .none, false) }
      return state.files
    }
    for (path, file) in files.sorted(by: { $0.key < $1.key }) where !file.unsynced.isEmpty {
      guard let data = FileManager.default.contents(atPath: path) else { continue }
      var bytes = [UInt8](data)
      for change in file.unsynced.reversed() { Self.put(change.before, at: change.offset, in: &bytes) }
      var length = file.syncedLength
      let style = random.below(4)
      for change in file.unsynced {
        switch style == 0 ? 0 : style == 1 ? 1 : random.below(3) {
        case 0:
          Self.put(change.after, at: change.offset, in: &bytes)
          length = max(length, change.offset + change.after.count)
        case 1: break
        default:
          for start in stride(from: 0, to: change.after.count, by: Self.sectorBytes) where random.chance(500) {
            let end = min(start + Self.sectorBytes, change.after.count)
            Self.put(Array(change.after[start..<end]), at: change.offset + start, in: &bytes)
            length = max(length, change.offset + end)
          }
        }
      }
      bytes = Array(bytes.prefix(length))
      _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
    }
  }

  private static func put(_ new: [UInt8], at offset: Int, in bytes: inout [UInt8]) {
    if bytes.count < offset + new.count { bytes += [UInt8](repeating: 0, count: offset + new.count - bytes.count) }
    bytes.replaceSubrange(offset..<offset + new.count, with: new)
  }

  // MARK: What SQLite asks

  enum Writing {
    case whole
    /// So many bytes, then an error.
    case part(Int, error: Int32)
  }

  private func isWatched(_ path: String) -> Bool { !path.hasSuffix("-shm") }

  fileprivate func opened(_ path: String, length: Int) {
    guard isWatched(path) else { return }
    state.withLock { state in
      if state.files[path] == nil { state.files[path] = File(syncedLength: length, length: length) }
    }
  }

  fileprivate func write(_ path: String, _ after: [UInt8], before: [UInt8], at offset: Int) -> Writing {
    guard isWatched(path) else { return .whole }
    return state.withLock { state in
      if state.isGone { return .part(0, error: SQLITE_IOERR | 3 << 8) }
      var made = after.count
      var error: Int32 = SQLITE_OK
      if state.fault == .full || state.fault == .torn {
        state.countdown -= 1
        if state.countdown < 0 {
          (made, error) = state.fault == .full ? (0, SQLITE_FULL) : (after.count / 2, SQLITE_IOERR | 24 << 8)
          state.isGone = state.fault == .torn
          state.came.append(state.fault)
          state.fault = .none
        }
      }
      if made > 0 {
        var file = state.files.removeValue(forKey: path) ?? File()
        file.unsynced.append(
          Change(offset: offset, before: Array(before.prefix(made)), after: Array(after.prefix(made))))
        file.length = max(file.length, offset + made)
        state.files[path] = file
      }
      return made == after.count ? .whole : .part(made, error: error)
    }
  }

  fileprivate func truncated(_ path: String, to length: Int, before: [UInt8]) {
    guard isWatched(path) else { return }
    state.withLock { state in
      let zeros = [UInt8](repeating: 0, count: before.count)
      var file = state.files.removeValue(forKey: path) ?? File()
      if !before.isEmpty { file.unsynced.append(Change(offset: length, before: before, after: zeros)) }
      file.length = length
      state.files[path] = file
    }
  }

  /// What is said of a sync; nil where it is made.
  fileprivate func sync(_ path: String) -> Int32? {
    guard isWatched(path) else { return nil }
    return state.withLock { state in
      if state.isGone { return SQLITE_IOERR | 4 << 8 }
      if state.fault == .refusedSync || state.fault == .liedSync {
        state.countdown -= 1
        if state.countdown < 0 {
          state.came.append(state.fault)
          let isRefused = state.fault == .refusedSync
          state.fault = .none
          state.isGone = isRefused
          return isRefused ? SQLITE_IOERR | 4 << 8 : SQLITE_OK
        }
      }
      if var file = state.files[path] {
        file.unsynced = []
        file.syncedLength = file.length
        state.files[path] = file
      }
      return SQLITE_OK
    }
  }

  fileprivate func canRead(_ path: String, _ bytes: Range<Int>) -> Bool {
    state.withLock { state in
      guard let bad = state.unreadable[path] else { return true }
      return !bad.overlaps(bytes)
    }
  }
}

/// All faulty disks, between SQLite and the system.
private final class FaultyDisks: Sendable {
  static let shared = FaultyDisks()

  private struct State {
    var disks: [String: FaultyDisk] = [:]
    /// Files that SQLite has open, by the address that it knows them by.
    var paths: [Int: String] = [:]
    /// Of the system's methods, by the address of ours.
    var methods: [Int: Int] = [:]
  }

  private let state = Mutex(State())
  private nonisolated(unsafe) static var system: UnsafeMutablePointer<sqlite3_vfs>?
  private nonisolated(unsafe) static let ours = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)

  private init() { Self.register() }

  func add(_ disk: FaultyDisk) { state.withLock { $0.disks[disk.directory] = disk } }
  func remove(_ disk: FaultyDisk) { state.withLock { $0.disks[disk.directory] = nil } }

  private typealias SQLiteFile = UnsafeMutablePointer<sqlite3_file>

  private func disk(of file: SQLiteFile) -> (FaultyDisk, String)? {
    state.withLock { state in
      guard let path = state.paths[Int(bitPattern: file)] else { return nil }
      let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
      return state.disks[directory].map { ($0, path) }
    }
  }

  private func disk(at path: String) -> (FaultyDisk, String)? {
    let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    return state.withLock { $0.disks[directory] }.map { ($0, path) }
  }

  private func methods(_ file: SQLiteFile) -> sqlite3_io_methods? {
    let address = state.withLock { $0.methods[Int(bitPattern: file.pointee.pMethods)] } ?? 0
    return UnsafePointer<sqlite3_io_methods>(bitPattern: address)?.pointee
  }

  private static func bytes(_ file: SQLiteFile, _ real: sqlite3_io_methods, _ count: Int, at offset: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    // What is beyond the end comes as zeros.
    _ = bytes.withUnsafeMutableBytes { real.xRead(file, $0.baseAddress, Int32(count), Int64(offset)) }
    return bytes
  }

  private static func length(_ file: SQLiteFile, _ real: sqlite3_io_methods) -> Int {
    var length: Int64 = 0
    _ = real.xFileSize(file, &length)
    return Int(length)
  }

  private func opened(_ file: SQLiteFile, _ path: String) {
    guard let system = file.pointee.pMethods else { return }
    let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    guard let disk = state.withLock({ $0.disks[directory] }) else { return }
    disk.opened(path, length: Self.length(file, system.pointee))
    let (file, address) = (file, Int(bitPattern: system))
    let number = Int(bitPattern: file)
    let table = state.withLock { state -> Int in
      state.paths[number] = path
      if let known = state.methods.first(where: { $0.value == address })?.key { return known }
      guard let system = UnsafePointer<sqlite3_io_methods>(bitPattern: address) else { return 0 }
      let table = Int(bitPattern: Self.table(over: system))
      state.methods[table] = address
      return table
    }
    file.pointee.pMethods = UnsafePointer(bitPattern: table)
  }

  private static func table(
    over system: UnsafePointer<sqlite3_io_methods>
  ) -> UnsafeMutablePointer<sqlite3_io_methods> {
    let table = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    table.initialize(to: system.pointee)
    table.pointee.xWrite = { file, bytes, count, offset in
      guard let file, let bytes, let real = FaultyDisks.shared.methods(file) else { return SQLITE_IOERR }
      guard let (disk, path) = FaultyDisks.shared.disk(of: file) else { return real.xWrite(file, bytes, count, offset) }
      let after = Array(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
      let before = FaultyDisks.bytes(file, real, Int(count), at: Int(offset))
      switch disk.write(path, after, before: before, at: Int(offset)) {
      case .whole: return real.xWrite(file, bytes, count, offset)
      case .part(let made, let error):
        if made > 0 { _ = real.xWrite(file, bytes, Int32(made), offset) }
        return error
      }
    }
    table.pointee.xTruncate = { file, length in
      guard let file, let real = FaultyDisks.shared.methods(file) else { return SQLITE_IOERR }
      if let (disk, path) = FaultyDisks.shared.disk(of: file) {
        if disk.isGone { return SQLITE_IOERR | 6 << 8 }
        let old = FaultyDisks.length(file, real)
        let lost = FaultyDisks.bytes(file, real, max(0, old - Int(length)), at: Int(length))
        disk.truncated(path, to: Int(length), before: lost)
      }
      return real.xTruncate(file, length)
    }
    table.pointee.xSync = { file, flags in
      guard let file, let real = FaultyDisks.shared.methods(file) else { return SQLITE_IOERR }
      guard let (disk, path) = FaultyDisks.shared.disk(of: file), let said = disk.sync(path) else {
        return real.xSync(file, flags)
      }
      return said
    }
    table.pointee.xRead = { file, bytes, count, offset in
      guard let file, let real = FaultyDisks.shared.methods(file) else { return SQLITE_IOERR }
      if let (disk, path) = FaultyDisks.shared.disk(of: file),
        !disk.canRead(path, Int(offset)..<Int(offset) + Int(count))
      {
        return SQLITE_IOERR | 1 << 8
      }
      return real.xRead(file, bytes, count, offset)
    }
    table.pointee.xClose = { file in
      guard let file, let real = FaultyDisks.shared.methods(file) else { return SQLITE_IOERR }
      FaultyDisks.shared.state.withLock { $0.paths[Int(bitPattern: file)] = nil }
      return real.xClose(file)
    }
    return table
  }

  private static func register() {
    guard let found = sqlite3_vfs_find(nil) else { return }
    system = found
    ours.initialize(to: found.pointee)
    ours.pointee.pNext = nil
    // Its name lives as long as the process.
    ours.pointee.zName = UnsafePointer(strdup("mend-faulty"))
    ours.pointee.xOpen = { _, name, file, flags, outFlags in
      guard let system = FaultyDisks.system, let file else { return SQLITE_CANTOPEN }
      let result = system.pointee.xOpen(system, name, file, flags, outFlags)
      if result == SQLITE_OK, let name { FaultyDisks.shared.opened(file, String(cString: name)) }
      return result
    }
    ours.pointee.xDelete = { _, name, syncsDirectory in
      guard let system = FaultyDisks.system, let name else { return SQLITE_IOERR }
      if let (disk, path) = FaultyDisks.shared.disk(at: String(cString: name)) {
        if disk.isGone { return SQLITE_IOERR | 10 << 8 }
        disk.deleted(path)
      }
      return system.pointee.xDelete(system, name, syncsDirectory)
    }
    sqlite3_vfs_register(ours, 1)
  }
}
