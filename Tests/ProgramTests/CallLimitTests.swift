import MendCore
import MendRPC
import Testing

@testable import mend

@Suite("Limits of connections")
struct CallLimitTests {
  private func applied(_ texts: String...) throws -> (ServerLimits, ServerKeepalive, Limits) {
    var (limits, keepalive, core) = (ServerLimits(), ServerKeepalive(), Limits())
    for text in texts {
      let limit = try CallLimit.option(text)
      limit.apply(to: &limits, &keepalive)
      limit.apply(to: &core)
    }
    return (limits, keepalive, core)
  }

  @Test("Counts, sizes and times go where their names say")
  func accepted() throws {
    let (limits, keepalive, core) = try applied(
      "connections=7", "request-bytes=2MiB", "stall-time=30", "idle-time=none", "connection-age=3600",
      "ping-interval=10", "document-memory=8GiB")
    #expect(core.documentMemory == MemoryLimit(8 << 30))
    #expect(limits.maxConnections == 7)
    #expect(limits.maxRequestBytes == 2 << 20)
    #expect(limits.stallTimeout == .seconds(30))
    #expect(limits.idleTimeout == nil)
    #expect(limits.maxConnectionAge == .seconds(3600))
    #expect(keepalive.minPingInterval == .seconds(10))
  }

  @Test(
    "What is no limit is refused",
    arguments: [
      "", "connections", "connections=", "connections=0", "connections=-1", "stall-time=none", "speed=9", "=1",
    ])
  func refused(_ text: String) {
    #expect(throws: (any Error).self) { try CallLimit.option(text) }
  }

  @Test("Every name changes something of its own")
  func names() throws {
    var seen: Set<String> = []
    for (name, _) in CallLimit.fields {
      let (limits, keepalive, core) = try applied("\(name)=77")
      #expect(limits != ServerLimits() || keepalive != ServerKeepalive() || core != Limits())
      seen.insert("\(limits) \(keepalive) \(core.documentMemory) \(core.specificationMemory)")
    }
    #expect(seen.count == CallLimit.fields.count)
  }
}
