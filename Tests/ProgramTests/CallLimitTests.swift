import MendRPC
import Testing

@testable import mend

@Suite("Limits of connections")
struct CallLimitTests {
  private func applied(_ texts: String...) throws -> (ServerLimits, ServerKeepalive) {
    var (limits, keepalive) = (ServerLimits(), ServerKeepalive())
    for text in texts { try CallLimit.option(text).apply(to: &limits, &keepalive) }
    return (limits, keepalive)
  }

  @Test("Counts, sizes and times go where their names say")
  func accepted() throws {
    let (limits, keepalive) = try applied(
      "connections=7", "request-bytes=2MiB", "stall-time=30", "idle-time=none", "connection-age=3600",
      "ping-interval=10")
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
      let (limits, keepalive) = try applied("\(name)=77")
      #expect(limits != ServerLimits() || keepalive != ServerKeepalive())
      seen.insert("\(limits) \(keepalive)")
    }
    #expect(seen.count == CallLimit.fields.count)
  }
}
