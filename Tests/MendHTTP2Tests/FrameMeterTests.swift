@testable import MendHTTP2
import Testing

@Suite struct FrameMeterTests {
  @Test("Frames are counted alike however their bytes are cut")
  func cuts() {
    let bytes =
      WrittenPeer.preface + WrittenPeer.frame(4, [0, 3, 0, 0, 0, 9]) + WrittenPeer.headers(1, end: false)
      + WrittenPeer.frame(0, stream: 1, [UInt8](repeating: 0, count: 300)) + WrittenPeer.frame(0, stream: 1)
      + WrittenPeer.frame(0, flags: 1, stream: 1) + WrittenPeer.frame(8, [0, 0, 0, 1])
      + WrittenPeer.frame(1, flags: 1, stream: 3, [0x83]) + WrittenPeer.frame(9, stream: 3, [0x86])
      + WrittenPeer.frame(9, flags: 4, stream: 3) + WrittenPeer.frame(3, stream: 3, [0, 0, 0, 8])
      + WrittenPeer.frame(0xab, [1, 2]) + WrittenPeer.frame(2, stream: 5, [0, 0, 0, 0, 1])
    for cut in 1...bytes.count {
      var meter = FrameMeter(role: .server)
      var counters = HTTP2Counters()
      for start in stride(from: 0, to: bytes.count, by: cut) {
        meter.measure(bytes.span.bytes.extracting(start..<min(start + cut, bytes.count)), &counters)
      }
      // SETTINGS, the first empty DATA, two CONTINUATION, the unknown one, PRIORITY.
      #expect(counters.controlFramesReceived == 6)
      #expect(counters.windowUpdatesReceived == 1)
      #expect(counters.resetsReceived == 1)
      #expect(meter.continuationsPeak == 2)
      #expect(meter.headerBytesPeak == 2)
      #expect(!meter.isInHeaders)
    }
  }

  @Test("Streams that only a burst needed give their memory back, and what comes next is unharmed")
  func burst() throws {
    let pair = try SessionPair()
    for _ in 0..<3 {
      let calls = try (0..<200).map { _ in try pair.request(body: [UInt8](repeating: 7, count: 500), end: false) }
      for call in calls { pair.client.reset(call.client, .cancel) }
      try pair.exchange()
      for call in calls {
        pair.server.release(call.server)
        pair.client.release(call.client)
      }
      pair.serverEvents = []
      let held = (0..<200).count { slot in
        pair.server.state.value.streams.inSlot(Int32(slot)).value.received.capacity > 0
      }
      #expect(held == 64)
    }
  }
}
