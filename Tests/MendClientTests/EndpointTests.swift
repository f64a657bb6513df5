import MendClient
import Testing

@Suite("Endpoint")
struct EndpointTests {
  @Test(
    "What it reads it writes again",
    arguments: ["127.0.0.1:7443", "localhost:0", "[::1]:7443", "mend.example:65535", "unix:/tmp/mend.sock"])
  func roundTrip(_ text: String) throws {
    #expect(try Endpoint(text).description == text)
  }

  @Test(
    "What is no address is refused with what is expected",
    arguments: [
      ("127.0.0.1", "HOST:PORT or unix:PATH"), ("host:70000", "0 to 65535"), ("host:x", "0 to 65535"),
      ("::1:7443", "brackets"), (":7443", "HOST:PORT"), ("unix:", "missing"),
    ])
  func refused(_ text: String, _ expected: String) {
    do throws(MendError) {
      _ = try Endpoint(text)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.code == .invalidArgument)
      #expect(error.message.contains(expected), "\(error.message)")
    }
  }

  @Test("A socket's path that the system would cut is refused with its length")
  func longPath() {
    #expect(throws: MendError.self) { try Endpoint("unix:/" + String(repeating: "x", count: 107)) }
    #expect(throws: Never.self) { try Endpoint("unix:/" + String(repeating: "x", count: 106)) }
  }

  @Test("Loopback and sockets are local, names and other addresses are not")
  func locality() throws {
    for local in ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/a"] {
      #expect(try Endpoint(local).isLocal)
    }
    for remote in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "example.org:1"] { #expect(try !Endpoint(remote).isLocal) }
  }
}

@Suite("Backoff")
struct BackoffTests {
  @Test("Waits double up to the bound, each from the upper half of its step")
  func growth() {
    var generator = SystemRandomNumberGenerator()
    var backoff = Backoff(from: .milliseconds(50), to: .seconds(2))
    for step in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
      let wait = backoff.next(using: &generator)
      #expect(wait >= .milliseconds(step) / 2 && wait <= .milliseconds(step))
    }
    backoff.reset()
    #expect(backoff.next(using: &generator) <= .milliseconds(50))
  }
}
