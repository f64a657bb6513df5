import Testing

@testable import MendRPC

/// Decompression in steps.
@Suite struct GzipTests {
  private func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
    var out: [UInt8] = []
    try #require(Gzip.compress(bytes.span.bytes, to: &out))
    return out
  }

  /// The result of steps with this allowance each, and how many there were.
  private func inflate(_ bytes: [UInt8], limit: Int, allowance: Int) -> (result: Result<[UInt8], RPCError>, steps: Int)
  {
    let inflation = Gzip.Inflation(limit: limit, who: "it")
    var steps = 0
    while true {
      var left = allowance
      steps += 1
      if let result = inflation.advance(bytes.span.bytes, &left) { return (result, steps) }
    }
  }

  @Test("However small the steps, the bytes are the same, and what is too much or cut short is found")
  func steps() throws {
    let plain = (0..<5000).map { UInt8(truncatingIfNeeded: $0 / 7) }
    let packed = try compressed(plain)
    for allowance in [1, 2, 17, 1000, 4096, .max] {
      #expect(try inflate(packed + packed, limit: 10_000, allowance: allowance).result.get() == plain + plain)
      let much = inflate(packed, limit: 4999, allowance: allowance).result
      #expect(throws: RPCError.self) { try much.get() }
      if case .failure(let error) = much { #expect(error.code == .resourceExhausted) }
      let cut = inflate(Array(packed.dropLast()), limit: 5000, allowance: allowance).result
      if case .failure(let error) = cut { #expect(error.message.contains("cut short")) } else { Issue.record("\(cut)") }
    }
  }

  @Test("A step does as much as it may: bytes that come out count, those that go in, and members that hold nothing")
  func cost() throws {
    let zeros = try compressed([UInt8](repeating: 0, count: 1 << 20))
    #expect(inflate(zeros, limit: 1 << 20, allowance: 1 << 16).steps >= 16)
    // RFC 1952: a member without a byte in it, ten thousand times.
    let member: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    let members = Array([[UInt8]](repeating: member, count: 10_000).joined())
    let (result, steps) = inflate(members, limit: 100, allowance: 1 << 16)
    #expect(try result.get() == [])
    #expect(steps >= 150)
    // RFC 1951 3.2.4: stored blocks without a byte in them.
    let block: [UInt8] = [0, 0, 0, 0xff, 0xff]
    var blocks = Array(member.prefix(10))
    for _ in 0..<100_000 { blocks += block }
    blocks += member.suffix(10)
    #expect(inflate(blocks, limit: 100, allowance: 1 << 16).steps >= 7)
  }
}
