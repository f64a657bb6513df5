internal import FoundationEssentials
internal import Glibc
internal import MendCore

/// Where an attempt and all that is known of it is kept: the seam between the server and the supervisor, and what a
/// restarted server reads.
///
/// Its records are the lines of one file (`AttemptRecords`). The directory itself is locked from before the supervisor has
/// it until it is done, handed over by the server as an open file, so: lock free and no record of a supervisor = it was
/// never started; lock held = it starts or runs; a supervisor without an exit and lock free = it was killed.
///
/// Files outlive every process, which is what they are for; the machine they need not outlive. The launch says in which
/// boot they were written: what is missing from those of another boot is no proof. Only the account of an end is made
/// durable, and only by a supervisor that has no server to take it.
///
/// File systems take longest over new files, so there are few: this directory, `work`, the manifest and the records.
struct AttemptDirectory: Sendable, Hashable {
  var path: String

  init(path: String) { self.path = path }

  // MARK: where it is

  /// Directories that attempts are spread over, by their names. Their own is marked (`FileSystem.spread`) so that each of
  /// them is put elsewhere on the disk: a file system may look at all that was lately deleted nearby for each new file.
  private static let groups: UInt32 = 64

  /// The path ATTEMPTS/GROUP/LAUNCH-ID; a job's attempts are in the same group.
  init(of key: AttemptKey, below attempts: String) {
    let name = key.description
    let job = name.utf8.prefix(upTo: name.utf8.lastIndex(of: UInt8(ascii: ".")) ?? name.utf8.endIndex)
    // FNV-1a: the same in every process.
    let hash = job.reduce(2_166_136_261 as UInt32) { ($0 ^ UInt32($1)) &* 16_777_619 }
    self.init(path: "\(attempts)/\(hash % Self.groups)/\(name)")
  }

  private static func parent(of path: String) -> String {
    String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }

  /// Creates it; returns false if it is there already.
  func create() throws(SystemError) -> Bool {
    do throws(SystemError) {
      return try FileSystem.createDirectory(path)
    } catch {
      guard error.code == ENOENT else { throw error }
      let group = Self.parent(of: path)
      // An attempt's user, where it has one, is let through, whatever this process's umask.
      for missing in [Self.parent(of: group), group] where try FileSystem.createDirectory(missing) {
        try FileSystem.permit(missing, mode: 0o711)
      }
      return try FileSystem.createDirectory(path)
    }
  }

  /// Returns the directories of all attempts.
  static func all(below attempts: String) throws(SystemError) -> [(key: AttemptKey, directory: AttemptDirectory)] {
    var found: [(key: AttemptKey, directory: AttemptDirectory)] = []
    for group in try FileSystem.names(in: attempts) {
      do throws(SystemError) {
        for name in try FileSystem.names(in: "\(attempts)/\(group)") {
          if let key = AttemptKey(name) { found.append((key, AttemptDirectory(of: key, below: attempts))) }
        }
      } catch {
        // Somebody's file.
        guard error.code == ENOTDIR else { throw error }
      }
    }
    return found
  }

  // MARK: what it holds

  /// The entrypoint's working directory and TMPDIR.
  var work: String { "\(path)/work" }
  var manifest: String { "\(path)/manifest.jsonl" }
  var records: String { "\(path)/records.jsonl" }
  var standardOutput: String { "\(path)/stdout.log" }
  var standardError: String { "\(path)/stderr.log" }
  /// The output of a supervisor without a launcher; empty unless it crashes.
  var supervisorLog: String { "\(path)/supervisor.log" }

  /// Read anew with each call.
  func read<Content>(_ record: AttemptRecords.Record<Content>) throws(SystemError) -> Content? {
    try AttemptRecords(in: self).read(record)
  }

  func has<Content>(_ record: AttemptRecords.Record<Content>) throws(SystemError) -> Bool {
    try AttemptRecords(in: self).has(record)
  }

  /// Writes the first record in place of all others.
  func begin(_ launch: LaunchRecord) throws(SystemError) {
    let file = try FileSystem.openRegular(records, O_WRONLY | O_CREAT | O_TRUNC)
    guard file.write(AttemptRecords.launch.line(launch)[...]) else { throw SystemError("write \(records)") }
  }

  // MARK: a request to end, for a supervisor that this server has no link to: it comes while the supervisor writes

  private static let endRequest = "end.json"

  func write(_ request: EndRequest) throws(SystemError) {
    try FileSystem.write(JSONText.object(request.write), to: Self.endRequest, in: path)
  }

  /// Reads the request to end; nil if there is none or it cannot be read, and then the attempt's own grace holds.
  var endRequest: EndRequest? {
    guard let bytes = try? FileSystem.readRegular("\(path)/\(Self.endRequest)", limit: 4096) else { return nil }
    return try? JSONDecoder().decode(EndRequest.self, from: Data(bytes))
  }

  /// Takes the lock of a new directory.
  func lock() throws(SystemError) -> Descriptor {
    guard let lock = try tryLock() else { throw SystemError("flock \(path)", code: EWOULDBLOCK) }
    return lock
  }

  /// Takes the lock; returns nil if a supervisor has it, or a server that starts one.
  func tryLock() throws(SystemError) -> Descriptor? {
    let directory = try FileSystem.open(path, O_RDONLY | O_DIRECTORY)
    guard directory.tryLock() else { return nil }
    return directory
  }
}
