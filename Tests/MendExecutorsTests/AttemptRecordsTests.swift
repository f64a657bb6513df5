import Glibc
import TestSupport
import Testing

@testable import MendExecutors

struct AttemptRecordsTests {
  let directory: AttemptDirectory
  let data: TemporaryDirectory

  init() throws {
    data = try TemporaryDirectory()
    directory = AttemptDirectory(path: data.path)
  }

  static let identity = ProcessIdentity(pid: 7, startTicks: 8, bootID: "boot\n{")
  static let other = ProcessIdentity(pid: 9, startTicks: 10, bootID: "other")
  static let launch = LaunchRecord(
    arguments: ["/bin/true"], environment: ["A": "b\n{\"exit\":"], workDirectory: "/", memoryLimitBytes: 0,
    logLimitBytes: 1, graceMilliseconds: 2)

  @Test func `each is a line, and a new launch begins anew`() throws {
    try directory.begin(Self.launch)
    var file = try AttemptRecordFile(in: directory)
    #expect(file.records.read(AttemptRecords.launch) == Self.launch)
    #expect(!file.records.has(AttemptRecords.exit), "what a launch holds is no record")
    try file.append(Self.identity, as: AttemptRecords.supervisor)
    try file.append(Self.other, as: AttemptRecords.started)
    let records = try AttemptRecords(in: directory)
    #expect(records.read(AttemptRecords.supervisor) == Self.identity)
    #expect(records.read(AttemptRecords.started) == Self.other)
    #expect(records.read(AttemptRecords.exit) == nil)
    #expect(!records.areDamaged)
    try directory.begin(Self.launch)
    #expect(!directory.holds(AttemptRecords.supervisor))
  }

  @Test func `a line that was not written to its end does not count, and makes room for the next`() throws {
    try directory.begin(Self.launch)
    let whole = try #require(contents(of: directory.records))
    // Longer than what comes in its place.
    let torn = AttemptRecords.exit.line(
      .unknown(String(repeating: "x", count: 1000), receipt: .init(processes: 0, how: ""), memoryLimitBytes: 0))
    try FileSystem.write(whole + torn.dropLast(), to: "records.jsonl", in: directory.path)
    #expect(try directory.read(AttemptRecords.exit) == nil)
    #expect(directory.holds(AttemptRecords.exit))
    #expect(try AttemptRecords(in: directory).areDamaged)
    var file = try AttemptRecordFile(in: directory)
    try file.append(Self.identity, as: AttemptRecords.supervisor)
    #expect(try directory.read(AttemptRecords.supervisor) == Self.identity)
    #expect(try directory.read(AttemptRecords.launch) == Self.launch)
    #expect(try directory.read(AttemptRecords.exit) == nil)
  }

  @Test func `the last of its kind counts`() throws {
    var file = try AttemptRecordFile(in: directory)
    for identity in [Self.identity, Self.other] { try file.append(identity, as: AttemptRecords.started) }
    #expect(try directory.read(AttemptRecords.started) == Self.other)
  }

  @Test func `what is written behind a cut is read, and damage has a name`() {
    let zeros = [UInt8](repeating: 0, count: 300)
    let records = AttemptRecords(zeros + AttemptRecords.started.line(Self.identity))
    #expect(records.read(AttemptRecords.started) == Self.identity)
    #expect(AttemptRecords([]).damage?.contains("is empty") == true)
    #expect(AttemptRecords(Array("garbage\n".utf8)).damage?.contains("did not write") == true)
    #expect(AttemptRecords(AttemptRecords.launch.line(Self.launch)).damage == nil)
  }

  @Test(arguments: [
    ("", false), ("{", false), (#"{"launch":{"argum"#, false), ("{\"launch\":{}}\n", false), ("garbage", true),
    ("{\"launch\":{}}\n{\"superv", true), ("\n", true), ("{\"other\":{}}\n", true), ("\0\0", true),
  ])
  func `a launch that was begun is no damage, and all else is that nobody writes`(text: String, areDamaged: Bool) {
    #expect(AttemptRecords(Array(text.utf8)).areDamaged == areDamaged)
  }
}
