import Foundation
import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import TestSupport
import Testing

@testable import MendServer

@Suite("Tokens and roles")
struct TokensTests {
  private func withFile(_ body: (String) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    try body(directory.path + "/tokens")
  }

  @Test("a token is found by its hash; the file does not hold it")
  func lookup() throws {
    try withFile { path in
      let (secret, entry) = Tokens.create(namespace: "team-a", role: .operator, name: "ci", at: 1_700_000_000)
      try Tokens.append(entry, to: path)
      let tokens = try Tokens(path: path, logger: Harness.quiet)
      #expect(tokens.entry(for: secret) == entry)
      #expect(tokens.entry(for: secret + "x") == nil)
      #expect(tokens.entry(for: "") == nil)
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(!text.contains(secret.dropFirst(Tokens.secretPrefix.count)))
      #expect(secret.hasPrefix("mend_"))
    }
  }

  /// Counts the bytes that are looked at.
  private final class Watched: Sequence, IteratorProtocol {
    private var bytes: [UInt8]
    private(set) var looks = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes.reversed() }

    func next() -> UInt8? {
      guard let byte = bytes.popLast() else { return nil }
      looks += 1
      return byte
    }
  }

  @Test("a token that is taken back ends the streams that it opened within a second", arguments: [false, true])
  func streams(isLogs: Bool) async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/tokens"
    let (secret, entry) = Tokens.create(namespace: "default", role: .operator, name: "ci", at: 1)
    let (other, otherEntry) = Tokens.create(namespace: "default", role: .viewer, name: "other", at: 1)
    try Tokens.append(entry, to: path)
    try Tokens.append(otherEntry, to: path)
    let tokens = try Tokens(path: path, logger: Harness.quiet)
    try await ServedOverSockets.run(tokens: tokens) { _, channel in
      var options = CallOptions()
      options.metadata = ["authorization": "Bearer \(secret)"]
      let creation = Harness.creation("b1", documents: 1)
      let _: CreateBatchResponse = try await channel.unary(Batches.Methods.createBatch, creation, options: options)
      let submission = SubmitBatchRequest { $0.batchID = "b1" }
      let _: SubmitBatchResponse = try await channel.unary(Batches.Methods.submitBatch, submission, options: options)
      func stream(_ options: CallOptions) async throws -> ResponseStream<RawMessage> {
        if isLogs {
          let request = ReadLogsRequest {
            $0.batchID = "b1"
            $0.follow = true
          }
          return try await channel.serverStreaming(Batches.Methods.readLogs, request, options: options)
        }
        let request = WatchProgressRequest { $0.batchID = "b1" }
        return try await channel.serverStreaming(Batches.Methods.watchProgress, request, options: options)
      }
      var others = CallOptions()
      others.metadata = ["authorization": "Bearer \(other)"]
      others.timeout = .seconds(3)
      let kept = try await stream(others)
      let ended = try await stream(options)
      #expect(try TokensFile(path: path).revoke("ci").count == 1)
      let start = ContinuousClock.now
      let error = await #expect(throws: RPCError.self) { for try await _ in ended {} }
      #expect(error?.code == .unauthenticated)
      #expect(ContinuousClock.now - start < .seconds(2))
      // Whoever has another token goes on, to the end of the time that it asked for.
      let end = await #expect(throws: RPCError.self) { for try await _ in kept {} }
      #expect(end?.code == .deadlineExceeded)
    }
  }

  @Test("a digest is compared to its last byte, wherever it differs", arguments: [nil, 0, 1, 16, 31] as [Int?])
  func constantTime(differsAt place: Int?) {
    let digest = (0..<32).map { UInt8($0 * 7) }
    var other = digest
    if let place { other[place] ^= 1 }
    let (left, right) = (Watched(digest), Watched(other))
    #expect(ConstantTime.areEqual(left, right) == (place == nil))
    #expect(left.looks == 32 && right.looks == 32)
    #expect(!ConstantTime.areEqual(digest, digest.dropLast()) && !ConstantTime.areEqual(digest.dropLast(), digest))
  }

  @Test("the file is for its owner only, also where it was wider")
  func mode() throws {
    try withFile { path in
      _ = FileManager.default.createFile(atPath: path, contents: Data(), attributes: [.posixPermissions: 0o644])
      try Tokens.append(Tokens.create(namespace: "a", role: .viewer, at: 0).entry, to: path)
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode == 0o600)
    }
  }

  @Test("tokens that are added or taken back count without a restart")
  func reload() throws {
    try withFile { path in
      let first = Tokens.create(namespace: "a", role: .viewer, at: 0)
      let second = Tokens.create(namespace: "a", role: .viewer, at: 0)
      try Tokens.append(first.entry, to: path)
      let tokens = try Tokens(path: path, logger: Harness.quiet)
      try Tokens.append(second.entry, to: path)
      tokens.reload()
      #expect(tokens.entry(for: first.secret) != nil)
      #expect(tokens.entry(for: second.secret) != nil)
      try Data(second.entry.line()).write(to: URL(fileURLWithPath: path))
      tokens.reload()
      #expect(tokens.entry(for: first.secret) == nil)
      #expect(tokens.entry(for: second.secret) != nil)
    }
  }

  @Test("a file that became unreadable leaves the tokens that were good")
  func damaged() throws {
    try withFile { path in
      let (secret, entry) = Tokens.create(namespace: "a", role: .viewer, at: 0)
      try Tokens.append(entry, to: path)
      let tokens = try Tokens(path: path, logger: Harness.quiet)
      try Data("{not json\n".utf8).write(to: URL(fileURLWithPath: path))
      tokens.reload()
      #expect(tokens.entry(for: secret) != nil)
      try FileManager.default.removeItem(atPath: path)
      tokens.reload()
      #expect(tokens.entry(for: secret) == nil)
    }
  }

  @Test("a line that is no entry is named by its number")
  func faults() throws {
    try withFile { path in
      let good = String(decoding: try Tokens.create(namespace: "a", role: .viewer, at: 0).entry.line(), as: UTF8.self)
      try Data((good + "\n" + good.replacing("viewer", with: "king")).utf8).write(to: URL(fileURLWithPath: path))
      let error = try #require(throws: TokensError.self) { try Tokens(path: path, logger: Harness.quiet) }
      #expect(error.message.contains("line 3"))
      #expect(error.message.contains("king"))
    }
  }

  @Test(
    "a name that histories give to what Mend does by itself is refused where it would be used",
    arguments: ["auto_heal", "Auto_Heal", "scheduler", "timer", "server", "executor", "worker t0-j0.1", " scheduler "])
  func ownNames(_ name: String) throws {
    try withFile { path in
      let good = String(decoding: try Tokens.create(namespace: "a", role: .viewer, at: 0).entry.line(), as: UTF8.self)
      let entry = Tokens.create(namespace: "a", role: .operator, name: name, at: 0).entry
      let line = String(decoding: try entry.line(), as: UTF8.self)
      try Data((good + line).utf8).write(to: URL(fileURLWithPath: path))
      let error = try #require(throws: TokensError.self) { try Tokens(path: path, logger: Harness.quiet) }
      #expect(error.message.contains("choose another, and revoke this one: mend token revoke"))
      #expect(error.message.hasSuffix(entry.id))
      // It can be taken back.
      #expect(try TokenEntry.parse(Array(line.utf8)).count == 1)
      #expect(TokenEntry.whyNameIsTaken(name, role: .worker) == nil)
    }
    for name in ["", "ann", "night scheduler", "workers", "caller"] {
      #expect(TokenEntry.whyNameIsTaken(name, role: .operator) == nil)
    }
  }

  @Test("a missing file is an error at start")
  func missing() throws {
    try withFile { path in
      #expect(throws: TokensError.self) { try Tokens(path: path, logger: Harness.quiet) }
    }
  }

  @Test(
    "what each role may",
    arguments: [
      (Role.viewer, [Role.viewer]), (.operator, [.viewer, .operator]), (.worker, [.worker]),
      (.admin, [.viewer, .operator, .worker, .admin]),
    ])
  func roles(role: Role, allowed: [Role]) {
    for needed in Role.allCases { #expect(role.allows(needed) == allowed.contains(needed)) }
  }
}

@Suite("The gate")
struct GateTests {
  private func gate(_ entries: [TokenEntry], _ body: (Gate) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/tokens"
    for entry in entries { try Tokens.append(entry, to: path) }
    try body(Gate(tokens: try Tokens(path: path, logger: Harness.quiet)))
  }

  private func context(
    _ method: MethodDescriptor = Batches.Methods.diagnose, _ metadata: Metadata = [:],
    peer: PeerAddress = .inet(host: "10.0.0.9", port: 5)
  ) -> ServerContext {
    ServerContext(method: method, metadata: metadata, peer: peer)
  }

  private func failure(_ body: () throws -> Call) throws -> ErrorFacts {
    try ErrorFacts(try #require(throws: RPCError.self) { try body() })
  }

  @Test("without tokens everything is allowed, in the namespace that is named")
  func open() throws {
    let gate = Gate()
    #expect(gate.authorization == nil)
    #expect(try gate.admit(context()).namespace == "default")
    let call = try gate.admit(context(Batches.Methods.cancelBatch, ["mend-namespace": "team-a"]))
    #expect(call.namespace == "team-a")
    #expect(call.actor == "caller")
  }

  @Test("a namespace that is no id is refused, with tokens and without")
  func namespaceRule() throws {
    let facts = try failure {
      try Gate().admit(context(Batches.Methods.diagnose, ["mend-namespace": "a/b"]))
    }
    #expect(facts.code == .invalidArgument)
    #expect(facts.badRequest?.fieldViolations.first?.field == "mend-namespace")
    let (secret, entry) = Tokens.create(namespace: "*", role: .viewer, at: 0)
    try gate([entry]) { (gate: Gate) throws in
      let metadata: Metadata = ["authorization": "Bearer \(secret)", "mend-namespace": "a/b"]
      #expect(
        try failure { try gate.admit(context(Batches.Methods.diagnose, metadata)) }.code == .invalidArgument
      )
    }
  }

  @Test("no token, an unknown one and another scheme are unauthenticated")
  func unauthenticated() throws {
    try gate([Tokens.create(namespace: "a", role: .viewer, at: 0).entry]) { (gate: Gate) throws in
      for metadata: Metadata in [
        [:], ["authorization": "Bearer mend_00"], ["authorization": "Basic abc"], ["authorization": "Bearer"],
      ] {
        let facts = try failure { try gate.admit(context(Batches.Methods.diagnose, metadata)) }
        #expect(facts.code == .unauthenticated)
        #expect(facts.request?.requestID.isEmpty == false)
      }
    }
  }

  @Test("a role that is too low names the one that is needed")
  func roleTooLow() throws {
    let (secret, entry) = Tokens.create(namespace: "a", role: .viewer, at: 0)
    try gate([entry]) { (gate: Gate) throws in
      let metadata: Metadata = ["authorization": "Bearer \(secret)", "mend-namespace": "a"]
      #expect(try gate.admit(context(Batches.Methods.diagnose, metadata)).namespace == "a")
      let facts = try failure { try gate.admit(context(Batches.Methods.cancelBatch, metadata)) }
      #expect(facts.code == .permissionDenied)
      #expect(facts.info?.reason == "ROLE_TOO_LOW")
      #expect(facts.message.contains("cancel_batch requires the role operator"))
    }
  }

  @Test("a token opens its namespace and no other, * opens all")
  func namespaces() throws {
    let one = Tokens.create(namespace: "a", role: .operator, name: "ci", at: 0)
    let all = Tokens.create(namespace: "*", role: .admin, at: 0)
    try gate([one.entry, all.entry]) { (gate: Gate) throws in
      let retry = Batches.Methods.retry
      let mine: Metadata = ["authorization": "bearer \(one.secret)", "mend-namespace": "a"]
      #expect(try gate.admit(context(retry, mine)).actor == "ci")
      let facts = try failure {
        try gate.admit(context(retry, ["authorization": "Bearer \(one.secret)"]))
      }
      #expect(facts.code == .permissionDenied)
      #expect(facts.info?.reason == "NAMESPACE_CLOSED")
      let any: Metadata = ["authorization": "Bearer \(all.secret)", "mend-namespace": "whatever"]
      #expect(try gate.admit(context(retry, any)).namespace == "whatever")
    }
  }

  @Test("workers need no bearer token on a Unix socket, and the worker's role on a network")
  func workers() throws {
    let worker = Tokens.create(namespace: "a", role: .worker, at: 0)
    let viewer = Tokens.create(namespace: "a", role: .viewer, at: 0)
    try gate([worker.entry, viewer.entry]) { (gate: Gate) throws in
      let report = Worker.Methods.report
      #expect(try gate.admit(context(report, peer: .unix(path: "/s"))).operation == "report")
      #expect(try failure { try gate.admit(context(report)) }.code == .unauthenticated)
      let wrong = context(report, ["authorization": "Bearer \(viewer.secret)"])
      #expect(try failure { try gate.admit(wrong) }.code == .permissionDenied)
      let right = context(report, ["authorization": "Bearer \(worker.secret)"])
      #expect(try gate.admit(right).operation == "report")
    }
  }

  @Test("a method that nobody wrote a rule for is open to no token, not to an administrator's either")
  func noRule() throws {
    let (secret, entry) = Tokens.create(namespace: "*", role: .admin, at: 0)
    try gate([entry]) { (gate: Gate) throws in
      let method = MethodDescriptor(service: "mend.v1.Batches", method: "DropEverything", shape: .unary)
      let facts = try failure { try gate.admit(context(method, ["authorization": "Bearer \(secret)"])) }
      #expect(facts.code == .permissionDenied)
    }
  }

  @Test("every call has a request id of its own")
  func requestIDs() throws {
    let gate = Gate()
    let ids = try (0..<100).map { _ in try gate.admit(context()).requestID }
    #expect(Set(ids).count == 100)
  }

  @Test("operations are methods in snake case")
  func operations() {
    #expect(Batches.Methods.watchProgress.operation == "watch_progress")
    #expect(Batches.Methods.heal.operation == "heal")
  }
}

@Suite("A tokens file, changed")
struct TokensFileTests {
  private func withFile(_ body: (TokensFile) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    try body(TokensFile(path: directory.path + "/tokens"))
  }

  private func mode(_ file: TokensFile) throws -> Int? {
    try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
  }

  @Test("an entry is taken back by its id or by its name, and the others stay as they were")
  func revoke() throws {
    try withFile { (file: TokensFile) throws in
      let names = ["ci", "ci", "phone", ""]
      let entries = names.map { Tokens.create(namespace: "a", role: .viewer, name: $0, at: 7).entry }
      for entry in entries { try file.append(entry) }
      #expect(try file.revoke("ci") == [entries[0], entries[1]])
      #expect(try file.entries() == [entries[2], entries[3]])
      #expect(try file.revoke(entries[3].id) == [entries[3]])
      #expect(try file.revoke("nobody").isEmpty)
      // What has no name is not taken back by an empty one.
      try file.append(entries[3])
      #expect(try file.revoke("").isEmpty)
      #expect(try file.entries() == [entries[2], entries[3]])
      #expect(try mode(file) == 0o600)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: (file.path as NSString).deletingLastPathComponent).count
          == 1)
    }
  }

  @Test("a server refuses a token that was taken back")
  func revokedWhileServing() throws {
    try withFile { (file: TokensFile) throws in
      let (secret, entry) = Tokens.create(namespace: "a", role: .viewer, at: 0)
      try file.append(entry)
      let tokens = try Tokens(path: file.path, logger: Harness.quiet)
      #expect(tokens.entry(for: secret) == entry)
      _ = try file.revoke(entry.id)
      tokens.reload()
      #expect(tokens.entry(for: secret) == nil)
    }
  }

  @Test("writers at the same time lose no entry")
  func writers() async throws {
    let directory = try TemporaryDirectory()
    let file = TokensFile(path: directory.path + "/tokens")
    try file.append(Tokens.create(namespace: "a", role: .viewer, name: "first", at: 0).entry)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<4 {
        group.addTask {
          for round in 0..<10 {
            try file.append(Tokens.create(namespace: "a", role: .viewer, name: "\(writer)-\(round)", at: 0).entry)
            if round % 2 == 1 { _ = try file.revoke("\(writer)-\(round - 1)") }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try file.entries().count == 1 + 4 * 5)
  }

  @Test("a file that others can write is refused, and leaves the tokens that were good")
  func modes() throws {
    try withFile { (file: TokensFile) throws in
      let (secret, entry) = Tokens.create(namespace: "a", role: .viewer, at: 0)
      try file.append(entry)
      let tokens = try Tokens(path: file.path, logger: Harness.quiet)
      try FileManager.default.setAttributes([.posixPermissions: 0o622], ofItemAtPath: file.path)
      let error = try #require(throws: TokensError.self) { try Tokens(path: file.path, logger: Harness.quiet) }
      #expect(error.message.contains("chmod 600"))
      tokens.reload()
      #expect(tokens.entry(for: secret) == entry)
      try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file.path)
      _ = try Tokens(path: file.path, logger: Harness.quiet)
    }
  }
}
