import Foundation
import MendAPI
import MendCore
import MendRPC
import Testing

@testable import MendServer

@Suite("Tokens and roles")
struct TokensTests {
  private func withFile(_ body: (String) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    defer { directory.remove() }
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
    defer { directory.remove() }
    let path = directory.path + "/tokens"
    for entry in entries { try Tokens.append(entry, to: path) }
    try body(Gate(tokens: try Tokens(path: path, logger: Harness.quiet)))
  }

  private func context(_ metadata: Metadata, peer: PeerAddress = .inet(host: "10.0.0.9", port: 5)) -> ServerContext {
    ServerContext(method: Batches.Methods.diagnose, metadata: metadata, peer: peer)
  }

  private func failure(_ body: () throws -> Call) throws -> ErrorFacts {
    try ErrorFacts(try #require(throws: RPCError.self) { try body() })
  }

  @Test("without tokens everything is allowed, in the namespace that is named")
  func open() throws {
    let gate = Gate()
    #expect(try gate.admit(context([:]), "diagnose", .viewer).namespace == "default")
    let call = try gate.admit(context(["mend-namespace": "team-a"]), "cancel_batch", .operator)
    #expect(call.namespace == "team-a")
    #expect(call.actor == "caller")
  }

  @Test("a namespace that is no id is refused")
  func namespaceRule() throws {
    let facts = try failure { try Gate().admit(context(["mend-namespace": "a/b"]), "diagnose", .viewer) }
    #expect(facts.code == .invalidArgument)
    #expect(facts.badRequest?.fieldViolations.first?.field == "mend-namespace")
  }

  @Test("no token, an unknown one and another scheme are unauthenticated")
  func unauthenticated() throws {
    try gate([Tokens.create(namespace: "a", role: .viewer, at: 0).entry]) { gate in
      for metadata: Metadata in [
        [:], ["authorization": "Bearer mend_00"], ["authorization": "Basic abc"], ["authorization": "Bearer"],
      ] {
        let facts = try failure { try gate.admit(context(metadata), "diagnose", .viewer) }
        #expect(facts.code == .unauthenticated)
      }
    }
  }

  @Test("a role that is too low names the one that is needed")
  func roleTooLow() throws {
    let (secret, entry) = Tokens.create(namespace: "a", role: .viewer, at: 0)
    try gate([entry]) { gate in
      let metadata: Metadata = ["authorization": "Bearer \(secret)", "mend-namespace": "a"]
      #expect(try gate.admit(context(metadata), "diagnose", .viewer).namespace == "a")
      let facts = try failure { try gate.admit(context(metadata), "cancel_batch", .operator) }
      #expect(facts.code == .permissionDenied)
      #expect(facts.info?.reason == "ROLE_TOO_LOW")
      #expect(facts.message.contains("operator"))
    }
  }

  @Test("a token opens its namespace and no other, * opens all")
  func namespaces() throws {
    let one = Tokens.create(namespace: "a", role: .operator, name: "ci", at: 0)
    let all = Tokens.create(namespace: "*", role: .admin, at: 0)
    try gate([one.entry, all.entry]) { gate in
      let mine: Metadata = ["authorization": "bearer \(one.secret)", "mend-namespace": "a"]
      #expect(try gate.admit(context(mine), "retry", .operator).actor == "ci")
      let facts = try failure {
        try gate.admit(context(["authorization": "Bearer \(one.secret)"]), "retry", .operator)
      }
      #expect(facts.code == .permissionDenied)
      #expect(facts.info?.reason == "NAMESPACE_CLOSED")
      let any: Metadata = ["authorization": "Bearer \(all.secret)", "mend-namespace": "whatever"]
      #expect(try gate.admit(context(any), "retry", .operator).namespace == "whatever")
    }
  }

  @Test("workers need no bearer token on a Unix socket, and the worker's role on a network")
  func workers() throws {
    let worker = Tokens.create(namespace: "a", role: .worker, at: 0)
    let viewer = Tokens.create(namespace: "a", role: .viewer, at: 0)
    try gate([worker.entry, viewer.entry]) { (gate: Gate) throws in
      #expect(try gate.admitWorker(context([:], peer: .unix(path: "/s")), "report").operation == "report")
      #expect(try failure { try gate.admitWorker(context([:]), "report") }.code == .unauthenticated)
      let wrong = context(["authorization": "Bearer \(viewer.secret)"])
      #expect(try failure { try gate.admitWorker(wrong, "report") }.code == .permissionDenied)
      let right = context(["authorization": "Bearer \(worker.secret)"])
      #expect(try gate.admitWorker(right, "report").operation == "report")
    }
  }

  @Test("every call has a request id of its own")
  func requestIDs() throws {
    let gate = Gate()
    let ids = try (0..<100).map { _ in try gate.admit(context([:]), "diagnose", .viewer).requestID }
    #expect(Set(ids).count == 100)
  }
}
