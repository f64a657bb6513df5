import Testing

@testable import MendProtobuf

@Suite("Malformed input")
struct MalformedTests {
  private func fault<M: Message>(_ type: M.Type, _ bytes: [UInt8], limits: DecodingLimits = DecodingLimits())
    -> DecodingError?
  {
    do throws(DecodingError) {
      _ = try M(serialized: bytes, limits: limits)
      return nil
    } catch {
      return error
    }
  }

  @Test(
    "Each fault is named with its place",
    arguments: [
      ("18", DecodingError.Fault.truncated(needed: 1, left: 0), 1),
      ("18 96", .truncated(needed: 2, left: 1), 1),
      ("18 80 80 80 80 80 80 80 80 80 80 01", .overlongVarint, 1),
      ("18 ff ff ff ff ff ff ff ff ff 02", .overlongVarint, 1),
      ("4d 01 00", .truncated(needed: 4, left: 2), 1),
      ("51 01", .truncated(needed: 8, left: 1), 1),
      ("72 05 61", .lengthPastEnd(length: 5, left: 1), 1),
      ("72 ff ff ff ff 0f", .lengthPastEnd(length: UInt64(UInt32.max), left: 0), 1),
      ("72 ff ff ff ff ff ff ff ff ff 01", .overlongVarint, 1),
      ("72 81 80 80 80 80 00 61", .overlongVarint, 1),
      ("72 02 c3 28", .invalidUTF8, 2),
      ("72 01 ff", .invalidUTF8, 2),
      ("00", .invalidTag(0), 0),
      ("07 00", .invalidTag(7), 0),
      ("1e", .invalidTag(0x1e), 0),
      ("80 80 80 80 10", .invalidTag(1 << 32), 0),
      ("98 80 80 80 80 00 01", .overlongVarint, 0),
      ("a4 06", .unmatchedEndGroup(field: 100), 2),
      ("a3 06 08 01", .unterminatedGroup(field: 100), 2),
      ("a3 06 9c 06", .unmatchedEndGroup(field: 99), 2),
      ("a2 06 05", .lengthPastEnd(length: 5, left: 0), 2),
    ])
  func faults(hex: String, fault expected: DecodingError.Fault, offset: Int) {
    let error = fault(Scalars.self, hex.bytes)
    #expect(error?.fault == expected)
    #expect(error?.offset == offset)
    #expect(error?.message == "mend.test.Scalars")
  }

  @Test("The innermost message is named, and the offset counts from the start")
  func innermost() {
    // Kinds.tree.left.weight, cut off
    let error = fault(Kinds.self, "92 03 03 0a 01 28".bytes)
    #expect(error == DecodingError(.truncated(needed: 1, left: 0), offset: 6, message: "mend.test.Tree"))
    #expect(
      error?.description
        == "mend.test.Tree is malformed at byte 6: it ends within a value that needs 1 bytes, 0 are left")
  }

  @Test("A nested length may not run past its parent, even where bytes follow")
  func nestedLength() {
    let error = fault(Kinds.self, "92 03 02 0a 04 28 01 28 01".bytes)
    #expect(error?.fault == .lengthPastEnd(length: 4, left: 0))
  }

  @Test("Packed values whose length isn't a multiple of their width are refused")
  func unevenPacked() {
    #expect(fault(Kinds.self, "e2 01 03 01 02 03".bytes)?.fault == .unevenPackedLength(length: 3, width: 4))
  }

  @Test("Messages nest a hundred deep and no deeper")
  func depthBomb() {
    func nested(_ depth: Int) -> [UInt8] {
      var bytes: [UInt8] = []
      for _ in 0..<depth {
        var length: [UInt8] = []
        var rest = bytes.count
        while rest >= 0x80 {
          length.append(UInt8(rest & 0x7f | 0x80))
          rest >>= 7
        }
        bytes = [0x0a] + length + [UInt8(rest)] + bytes
      }
      return bytes
    }
    #expect(fault(Tree.self, nested(100)) == nil)
    #expect(fault(Tree.self, nested(101))?.fault == .tooDeep(limit: 100))
    #expect(fault(Tree.self, nested(10_000))?.fault == .tooDeep(limit: 100))
  }

  @Test("Unknown groups nest a hundred deep and are skipped without recursion")
  func groupBomb() {
    func nested(_ depth: Int) -> [UInt8] {
      Array(repeating: [0xa3, 0x06] as [UInt8], count: depth).flatMap { $0 }
        + Array(repeating: [0xa4, 0x06] as [UInt8], count: depth).flatMap { $0 }
    }
    #expect(fault(Empty.self, nested(100)) == nil)
    #expect(fault(Empty.self, nested(101))?.fault == .tooDeep(limit: 100))
    #expect(fault(Empty.self, nested(1_000_000))?.fault == .tooDeep(limit: 100))
  }

  @Test("A list of empty messages can't take memory without end")
  func amplification() {
    var limits = DecodingLimits()
    limits.elementBytes = 100_000
    let bytes = Array(repeating: [0xda, 0x01, 0x00] as [UInt8], count: 10_000).flatMap { $0 }
    #expect(fault(Kinds.self, bytes, limits: limits)?.fault == .tooManyElements(limit: 100_000))
  }

  @Test("A tag or a length may be longer than it needs to be, in five bytes at most")
  func paddedVarints() throws {
    #expect(try Scalars(serialized: "98 80 80 80 00 01".bytes).int32 == 1)
    #expect(try Scalars(serialized: "72 81 80 80 80 00 61".bytes).string == "a")
  }

  @Test("Room for many short packed runs is made in large steps, not for each run again")
  func packedRuns() throws {
    // Each a length and one element.
    let runs = (0..<5000).flatMap { _ in [4, 1, 2, 3, 4] as [UInt8] }
    var numbers: [UInt32] = []
    var rooms: [Int] = []
    try Reader.read(runs.span.bytes, limits: DecodingLimits()) { reader throws(DecodingError) in
      for count in 1...5000 {
        try reader.readPacked(Fixed32Field.self, into: &numbers)
        precondition(numbers.count == count)
        if numbers.capacity != rooms.last { rooms.append(numbers.capacity) }
      }
    }
    // How much more than was asked for the allocator gives is its own affair; that each room is at least twice the one
    // before is not.
    for (room, next) in zip(rooms, rooms.dropFirst()) { #expect(next >= 2 * room) }
    #expect(rooms.last ?? 0 >= 5000)
  }

  @Test("Every prefix and every flipped bit of a message is decoded or refused, never worse")
  func mutations() {
    let bytes = Samples.kinds.serialized()
    for count in bytes.indices {
      _ = fault(Kinds.self, Array(bytes[..<count]))
    }
    for index in bytes.indices {
      for bit in 0..<8 {
        var mutated = bytes
        mutated[index] ^= 1 << UInt8(bit)
        if let message = try? Kinds(serialized: mutated) { #expect(!message.serialized().isEmpty) }
      }
    }
  }
}

@Suite("Unknown fields")
struct UnknownFieldTests {
  @Test("They survive a round trip, behind the known ones, of every wire type")
  func kept() throws {
    // Field 100 as varint, fixed64, length-delimited, group and fixed32, around Scalars.int32.
    let unknown = "a0 06 05 a1 06 01 02 03 04 05 06 07 08 a2 06 02 61 62 a3 06 08 01 a4 06 a5 06 01 02 03 04"
    let message = try Scalars(serialized: (unknown + " 18 01").bytes)
    #expect(message.int32 == 1)
    #expect(message.unknownFields.bytes == unknown.bytes)
    #expect(message.serialized() == ("18 01 " + unknown).bytes)
    #expect(try Empty(serialized: message.serialized()).serialized() == message.serialized())
  }

  @Test("A known field with another wire type is unknown")
  func otherWireType() throws {
    let message = try Scalars(serialized: "1a 01 61".bytes)
    #expect(message.int32 == 0)
    #expect(message.unknownFields.bytes == "1a 01 61".bytes)
  }

  @Test("They are part of what makes messages equal")
  func equality() throws {
    #expect(try Empty(serialized: "08 01".bytes) != Empty())
  }

  @Test("A whole tree keeps 64 KiB of them and no more")
  func bounded() throws {
    func tree(_ count: Int) -> [UInt8] {
      let field = Scalars { $0.bytes = [UInt8](repeating: 1, count: count) }.serialized()
      // The same bytes twice: once in Tree, where 15 is unknown, once in its left.
      let inner = [0x0a] + Scalars { $0.bytes = field }.serialized().dropFirst()
      return field + inner
    }
    #expect(throws: Never.self) { try Tree(serialized: tree(32_000)) }
    #expect(throws: DecodingError.self) { try Tree(serialized: tree(33_000)) }
  }
}
