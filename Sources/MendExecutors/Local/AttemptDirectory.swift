internal import FoundationEssentials
internal import Glibc

/// Where an attempt and all that is known of it is kept: the seam between the server and the supervisor, and what a
/// restarted server reads.
///
/// The directory itself is locked from before the supervisor has it until it is done, handed over by the server as an
/// open file, so: lock free and no `supervisor.json` = it was never started; lock held = it starts or runs;
/// `supervisor.json` without `exit.json` and lock free = it was killed.
///
/// Files outlive every process, which is what they are for; the machine they need not outlive. `launch.json` says in
/// which boot they were written: what is missing from those of another boot is no proof. Only the account of an end
/// is made durable, and only by a supervisor that has no server to take it.
struct AttemptDirectory: Sendable, Hashable {
  var path: String

  var work: String { "\(path)/work" }
  var temporary: String { "\(path)/tmp" }
  var manifest: String { "\(path)/manifest.jsonl" }
  var standardOutput: String { "\(path)/stdout.log" }
  var standardError: String { "\(path)/stderr.log" }
  /// What a supervisor without a launcher has to say, which is nothing unless it crashes.
  var supervisorLog: String { "\(path)/supervisor.log" }

  /// A file of it with the type of what it holds.
  struct Record<Content: JSONWritable & Codable & Sendable>: Sendable {
    var name: String
    /// What others wait for appears whole, by a rename.
    var isAwaited: Bool

    func encode(_ content: Content) -> [UInt8] { JSONText.object(content.write) + [0x0A] }

    /// nil: it is not whole.
    func decode(_ bytes: [UInt8]) -> Content? { try? JSONDecoder().decode(Content.self, from: Data(bytes)) }
  }

  static let launch = Record<LaunchRecord>(name: "launch.json", isAwaited: false)
  /// Says that the attempt was run, whatever became of it: nothing may run it again.
  static let supervisor = Record<ProcessIdentity>(name: "supervisor.json", isAwaited: false)
  /// The entrypoint, once it is up.
  static let started = Record<ProcessIdentity>(name: "started.json", isAwaited: true)
  static let end = Record<EndRequest>(name: "end.json", isAwaited: true)
  static let exit = Record<ExitFile>(name: "exit.json", isAwaited: true)

  /// nil: not there, or not whole.
  func read<Content>(_ record: Record<Content>) -> Content? {
    FileSystem.read("\(path)/\(record.name)").flatMap { record.decode($0) }
  }

  func write<Content>(_ content: Content, as record: Record<Content>) throws(SystemError) {
    try write(record.encode(content), as: record)
  }

  func write<Content>(_ encoded: [UInt8], as record: Record<Content>) throws(SystemError) {
    if record.isAwaited {
      try FileSystem.write(encoded, to: record.name, in: path)
    } else {
      let file = try FileSystem.open("\(path)/\(record.name)", O_WRONLY | O_CREAT | O_TRUNC)
      guard file.write(encoded[...]) else { throw SystemError("write \(record.name)") }
    }
  }

  /// Makes a record survive a power cut, and with it the directories that it is in.
  func synchronize<Content>(_ record: Record<Content>) throws(SystemError) {
    let file = try FileSystem.open("\(path)/\(record.name)", O_RDONLY)
    guard file.synchronize() else { throw SystemError("fsync \(record.name)") }
    try FileSystem.synchronizeDirectory(path)
    try FileSystem.synchronizeDirectory("\(path)/..")
  }

  func has<Content>(_ record: Record<Content>) -> Bool { FileSystem.exists("\(path)/\(record.name)") }

  /// The lock of a directory that is nobody else's yet.
  func lock() throws(SystemError) -> Descriptor {
    guard let lock = try tryLock() else { throw SystemError("flock \(path)", code: EWOULDBLOCK) }
    return lock
  }

  /// Takes the lock; nil if the supervisor (or who is starting it) has it.
  func tryLock() throws(SystemError) -> Descriptor? {
    let directory = try FileSystem.open(path, O_RDONLY | O_DIRECTORY)
    guard directory.tryLock() else { return nil }
    return directory
  }
}
