internal import FoundationEssentials
internal import Glibc

/// Where an attempt and all that is known of it is kept: the seam between the server and the supervisor, and what a
/// restarted server reads.
///
/// `lock` is held from before the supervisor starts until it ends, handed over by the server as an open file, so:
/// lock free and no `supervisor.json` = it was never started; lock held = it starts or runs;
/// `supervisor.json` without `exit.json` and lock free = it was killed.
struct AttemptDirectory: Sendable, Hashable {
  var path: String

  var work: String { "\(path)/work" }
  var temporary: String { "\(path)/tmp" }
  var lock: String { "\(path)/lock" }
  var manifest: String { "\(path)/manifest.jsonl" }
  var standardOutput: String { "\(path)/stdout.log" }
  var standardError: String { "\(path)/stderr.log" }
  /// What the supervisor itself has to say, which is nothing unless it crashes.
  var supervisorLog: String { "\(path)/supervisor.log" }

  /// A file of it with the type of what it holds.
  struct Record<Content: Codable & Sendable>: Sendable {
    var name: String
    /// It survives a power cut once written.
    var durable: Bool

    func encode(_ content: Content) -> [UInt8]? {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      return (try? encoder.encode(content)).map { Array($0) + [0x0A] }
    }

    /// nil: it is not whole.
    func decode(_ bytes: [UInt8]) -> Content? { try? JSONDecoder().decode(Content.self, from: Data(bytes)) }
  }

  static let launch = Record<LaunchRecord>(name: "launch.json", durable: false)
  /// Says that the attempt was run, whatever became of it: nothing may run it again.
  static let supervisor = Record<ProcessIdentity>(name: "supervisor.json", durable: true)
  /// The entrypoint, once it is up.
  static let started = Record<ProcessIdentity>(name: "started.json", durable: false)
  static let end = Record<EndRequest>(name: "end.json", durable: false)
  static let exit = Record<ExitFile>(name: "exit.json", durable: true)

  /// nil: not there, or not whole.
  func read<Content>(_ record: Record<Content>) -> Content? {
    FileSystem.read("\(path)/\(record.name)").flatMap { record.decode($0) }
  }

  func write<Content>(_ content: Content, as record: Record<Content>) throws(SystemError) {
    guard let bytes = record.encode(content) else { throw SystemError("encode \(record.name)", code: EINVAL) }
    try FileSystem.write(bytes, to: record.name, in: path, durable: record.durable)
  }

  func has<Content>(_ record: Record<Content>) -> Bool { FileSystem.exists("\(path)/\(record.name)") }

  /// Takes the lock; nil if the supervisor (or who is starting it) has it.
  func tryLock() throws(SystemError) -> Descriptor? {
    let file = try FileSystem.open(lock, O_RDWR | O_CREAT)
    guard file.tryLock() else { return nil }
    return file
  }
}
