import MendProtobuf
import Testing

@Suite("The wire format")
struct WireTests {
  @Test("A message with a field of every kind comes back as it was")
  func everyKind() throws {
    let bytes = Samples.kinds.serialized()
    #expect(try Kinds(serialized: bytes) == Samples.kinds)
    #expect(try Kinds(serialized: bytes).serialized() == bytes)
  }

  @Test(
    "Writing backwards gives the bytes that the specification gives",
    arguments: [
      (Scalars { $0.int32 = 150 }, "18 96 01"),
      (Scalars { $0.int32 = -2 }, "18 fe ff ff ff ff ff ff ff ff 01"),
      (Scalars { $0.sint32 = -1 }, "38 01"),
      (Scalars { $0.sint64 = 1 }, "40 02"),
      (Scalars { $0.string = "testing" }, "72 07 74 65 73 74 69 6e 67"),
      (
        Scalars {
          $0.fixed32 = 1; $0.fixed64 = 2
        }, "4d 01 00 00 00 51 02 00 00 00 00 00 00 00"
      ),
      (
        Scalars {
          $0.double = 1; $0.float = -1
        }, "09 00 00 00 00 00 00 f0 3f 15 00 00 80 bf"
      ),
      (
        Scalars {
          $0.bool = true; $0.mood = .negative
        }, "68 01 80 01 fd ff ff ff ff ff ff ff ff 01"
      ),
      (Scalars { $0.bytes = [1, 2] }, "7a 02 01 02"),
      (Scalars(), ""),
    ])
  func goldenScalars(message: Scalars, hex: String) throws {
    #expect(message.serialized() == hex.bytes)
    #expect(try Scalars(serialized: hex.bytes) == message)
  }

  @Test(
    "Nested messages, lists, maps and oneofs stand in the order of their numbers",
    arguments: [
      (Kinds { $0.scalars = Scalars { $0.int32 = 150 } }, "1a 03 18 96 01"),
      (Kinds { $0.numbers = [3, 270, 86942] }, "a2 01 06 03 8e 02 9e a7 05"),
      (Kinds { $0.unpackedNumbers = [-1, 1] }, "a8 01 01 a8 01 02"),
      (Kinds { $0.texts = ["a", ""] }, "c2 01 01 61 c2 01 00"),
      (Kinds { $0.counts = ["b": 2, "a": 1] }, "f2 01 05 0a 01 61 10 01 f2 01 05 0a 01 62 10 02"),
      (Kinds { $0.subject = .number(0) }, "c8 02 00"),
      (
        Kinds {
          $0.optionalNumber = 0; $0.batchID = "b"
        }, "08 00 f2 03 01 62"
      ),
      (Kinds { $0.tree = Tree { $0.left = Tree() } }, "92 03 02 0a 00"),
    ])
  func goldenKinds(message: Kinds, hex: String) throws {
    #expect(message.serialized() == hex.bytes)
    #expect(try Kinds(serialized: hex.bytes) == message)
  }

  @Test("A long message outgrows the writer's first buffer")
  func growth() throws {
    var message = Kinds()
    message.texts = (0..<2000).map { String(repeating: "x", count: $0 % 40) }
    message.blobs = [[UInt8](repeating: 7, count: 100_000)]
    #expect(try Kinds(serialized: message.serialized()) == message)
    var buffer: [UInt8] = [1, 2]
    message.append(to: &buffer)
    #expect(Array(buffer.dropFirst(2)) == message.serialized())
  }

  @Test("Equal messages are equal bytes, whatever order a map was filled in")
  func deterministic() {
    var left = Kinds()
    var right = Kinds()
    for number in 0..<100 {
      left.counts["key\(number)"] = 1
      right.counts["key\(99 - number)"] = 1
    }
    #expect(left.serialized() == right.serialized())
  }

  @Test("Packed and unpacked elements are both read, whatever the schema says, in any mixture")
  func packedAndUnpacked() throws {
    #expect(try Kinds(serialized: "a0 01 01 a2 01 02 02 03 a0 01 04".bytes).numbers == [1, 2, 3, 4])
    #expect(try Kinds(serialized: "aa 01 02 01 02".bytes).unpackedNumbers == [-1, 1])
    #expect(try Kinds(serialized: "e5 01 01 00 00 00 e2 01 04 02 00 00 00".bytes).fixedNumbers == [1, 2])
  }

  @Test("The last scalar wins, messages merge, lists grow")
  func merging() throws {
    let bytes = "08 01 1a 02 18 05 08 02 1a 02 20 06 c2 01 01 61 c2 01 01 62".bytes
    let message = try Kinds(serialized: bytes)
    #expect(message.optionalNumber == 2)
    #expect(
      message.scalars
        == Scalars {
          $0.int32 = 5; $0.int64 = 6
        })
    #expect(message.texts == ["a", "b"])
  }

  @Test("A oneof keeps its last member, and merges a message into the same one")
  func oneofs() throws {
    // name = "n", number = 3
    #expect(try Kinds(serialized: "c2 02 01 6e c8 02 03".bytes).subject == .number(3))
    // values.int32 = 1, values.int64 = 2
    let merged = try Kinds(serialized: "d2 02 02 18 01 d2 02 02 20 02".bytes)
    #expect(
      merged.subject
        == .values(
          Scalars {
            $0.int32 = 1; $0.int64 = 2
          }))
    // values.int32 = 1, name = "n", values.int64 = 2: the first values are gone
    let replaced = try Kinds(serialized: "d2 02 02 18 01 c2 02 01 6e d2 02 02 20 02".bytes)
    #expect(replaced.subject == .values(Scalars { $0.int64 = 2 }))
  }

  /// At 80,000 occurrences that took 0.8 s, and four times that at twice as many: each copied all before it.
  @Test("Each occurrence of a message that grows costs the same", .timeLimit(.minutes(1)))
  func manyOccurrences() throws {
    let count = 700_000
    func repeated(_ hex: String) -> [UInt8] {
      let occurrence = hex.bytes
      return (0..<count).flatMap { _ in occurrence }
    }
    // In a oneof: kinds.numbers = 1
    let kinds = try Kinds(serialized: repeated("da 02 03 a0 01 01"))
    guard case .kinds(let grown)? = kinds.subject else { return #expect(Bool(false), "no member") }
    #expect(grown.numbers.count == count)
    // In a field that can contain its own type: left.more = {}
    #expect(try Tree(serialized: repeated("0a 02 22 00")).left?.more.count == count)
    // In a plain one: scalars.int32 = 1
    #expect(try Kinds(serialized: repeated("1a 02 18 01")).scalars == Scalars { $0.int32 = 1 })
  }

  @Test("A map's entry may lack its key or value, have them twice or backwards, and be repeated")
  func mapEntries() throws {
    #expect(try Kinds(serialized: "f2 01 00".bytes).counts == ["": 0])
    #expect(try Kinds(serialized: "f2 01 05 10 07 0a 01 61".bytes).counts == ["a": 7])
    #expect(try Kinds(serialized: "f2 01 07 0a 01 61 10 01 10 02 f2 01 05 0a 01 61 10 03".bytes).counts == ["a": 3])
    #expect(
      try Kinds(serialized: "fa 01 08 12 02 18 01 12 02 20 02".bytes).scalarsByID
        == [
          0: Scalars {
            $0.int32 = 1; $0.int64 = 2
          }
        ])
  }

  @Test("Negative zero keeps its sign")
  func negativeZero() throws {
    let message = Scalars { $0.double = -0.0 }
    #expect(try Scalars(serialized: message.serialized()).double.sign == .minus)
  }

  @Test("An unnamed enum value is kept by its number")
  func openEnums() throws {
    let message = try Scalars(serialized: "80 01 63".bytes)
    #expect(message.mood == .unrecognized(99))
    #expect(message.serialized() == "80 01 63".bytes)
    #expect(Mood(rawValue: 1) == .good)
  }

  @Test("Wide numbers in narrow fields lose their upper bits, as in every implementation")
  func truncation() throws {
    #expect(try Scalars(serialized: "18 81 80 80 80 10".bytes).int32 == 1)
    #expect(try Scalars(serialized: "68 80 80 80 80 10".bytes).bool == true)
  }
}
