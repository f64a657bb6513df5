internal import FoundationEssentials
internal import Glibc

/// What an attempt's records say, as they were read: `records.jsonl`, a line each, `{"NAME":{...}}`.
///
/// The launch is the server's, before there is a supervisor; what follows is the supervisor's; where that was killed, an
/// exit is the server's again. So there is one writer at a time. A line counts once it is ended.
struct AttemptRecords {
  /// A kind of line, with the type of what it holds.
  struct Record<Content: JSONWritable & Codable & Sendable>: Sendable {
    fileprivate let beginning: [UInt8]

    fileprivate init(name: String) { beginning = Array("{\"\(name)\":".utf8) }

    func encode(_ content: Content) -> [UInt8] { JSONText.object(content.write) }

    /// nil: it is not whole.
    func decode(_ bytes: some Sequence<UInt8>) -> Content? {
      try? JSONDecoder().decode(Content.self, from: Data(bytes))
    }

    func line(_ content: Content) -> [UInt8] { line(encoded: encode(content)) }

    func line(encoded: [UInt8]) -> [UInt8] { beginning + encoded + [UInt8(ascii: "}"), UInt8(ascii: "\n")] }
  }

  static let launch = Record<LaunchRecord>(name: "launch")
  /// Says that the attempt was run, whatever became of it: nothing may run it again.
  static let supervisor = Record<ProcessIdentity>(name: "supervisor")
  /// The entrypoint, once it is up.
  static let started = Record<ProcessIdentity>(name: "started")
  static let exit = Record<ExitAccount>(name: "exit")

  private static let beginnings = [
    launch.beginning, supervisor.beginning, started.beginning, exit.beginning,
  ]

  /// A launch holds the environment and the command of a message that came in, in JSON, where a byte takes at most six;
  /// the others are short. What is longer is nobody's records.
  static let limit = 32 << 20

  /// Without their ends.
  private let lines: [ArraySlice<UInt8>]
  /// Behind the last whole line.
  private let rest: ArraySlice<UInt8>
  /// What is in the place of the file, where that is none that Mend wrote.
  private(set) var replacement: String?

  init(_ bytes: [UInt8]) {
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    rest = lines.popLast() ?? []
    // A supervisor that writes on behind its last line, in a file that somebody emptied, leaves zeros before it.
    self.lines = lines.map { $0.drop { $0 == 0 } }
  }

  /// None where there is no file. Throws where nobody can tell what is in it.
  init(in directory: AttemptDirectory) throws(SystemError) {
    do throws(SystemError) {
      self.init(try FileSystem.readRegular(directory.records, limit: Self.limit) ?? [])
    } catch {
      switch error.code {
      case SystemError.isNoFile: self.init(replacedBy: "not a regular file")
      case EFBIG: self.init(replacedBy: "a file of more than \(Self.limit) bytes")
      default: throw error
      }
    }
  }

  private init(replacedBy replacement: String) {
    self.init([])
    self.replacement = replacement
  }

  /// The last of its kind; nil: not there, or not whole.
  func read<Content>(_ record: Record<Content>) -> Content? {
    lines.last { $0.starts(with: record.beginning) }
      .flatMap { record.decode($0.dropFirst(record.beginning.count).dropLast()) }
  }

  /// Whole or not.
  func has<Content>(_ record: Record<Content>) -> Bool {
    lines.contains { $0.starts(with: record.beginning) } || rest.starts(with: record.beginning)
  }

  /// Whose attempt it is, as its launch says; empty where that says nothing.
  var server: String { read(Self.launch)?.server ?? "" }

  /// No record of a supervisor is one that it was never started only where the others are as they were written.
  var mayHaveRun: Bool { has(Self.supervisor) || areDamaged }

  /// There is something that nobody writes, or that was not written to its end, but for a launch: then nothing was
  /// started yet.
  var areDamaged: Bool {
    if replacement != nil { return true }
    if lines.contains(where: { line in !Self.beginnings.contains { line.starts(with: $0) } }) { return true }
    if rest.isEmpty { return false }
    let launch = Self.launch.beginning
    return !(lines.isEmpty && (rest.starts(with: launch) || launch.starts(with: rest)))
  }

  /// What is wrong with the file, for after its name; nil where it is as it was written.
  var damage: String? {
    if let replacement { return "is \(replacement), which Mend did not write" }
    if lines.isEmpty, rest.isEmpty { return "is empty or gone: somebody cut or removed it" }
    return areDamaged ? "was damaged: it holds what Mend did not write, or only a part of it" : nil
  }

  /// Where the last whole line ends.
  fileprivate var end: Int64 { Int64(rest.startIndex) }
}

/// The records of an attempt, open for its one writer.
struct AttemptRecordFile: ~Copyable {
  /// Before anything was written by this writer.
  let records: AttemptRecords
  private let file: Descriptor
  private let path: String
  private let start: Int64
  private var end: Int64

  init(in directory: AttemptDirectory) throws(SystemError) {
    let path = directory.records
    let file = try FileSystem.openRegular(path, O_RDWR | O_CREAT)
    let records = AttemptRecords(try file.readToEnd(limit: AttemptRecords.limit))
    self.path = path
    self.file = file
    self.records = records
    start = records.end
    end = start
  }

  /// Removes what this writer wrote.
  mutating func takeBack() throws(SystemError) {
    guard ftruncate(file.rawValue, off_t(start)) == 0 else { throw SystemError("truncate \(path)") }
    end = start
  }

  /// In the place of what may be behind the last whole line: one that could not be written (a full disk) can be again.
  mutating func append<Content>(_ content: Content, as record: AttemptRecords.Record<Content>) throws(SystemError) {
    try append(record.line(content))
  }

  mutating func append(_ line: [UInt8]) throws(SystemError) {
    guard file.write(line[...], at: end) else {
      let error = SystemError("write \(path)")
      // What there was room for is no record.
      _ = ftruncate(file.rawValue, off_t(end))
      throw error
    }
    end += Int64(line.count)
  }

  /// Makes what was written survive a power cut, and with it the directories that it is in.
  static func synchronize(in directory: AttemptDirectory) throws(SystemError) {
    let file = try FileSystem.openRegular(directory.records, O_RDONLY)
    guard file.synchronize() else { throw SystemError("fsync \(directory.records)") }
    for path in ["", "/..", "/../.."] { try FileSystem.synchronizeDirectory(directory.path + path) }
  }
}
