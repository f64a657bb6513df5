import Frames
import MendProtobuf
import MendSchemas

/// Decodes and encodes again, for differential.py: one frame in, one frame out.
///
/// In: a byte that says what to do, a byte with the length of a message's full name, the name, the input. Out: a byte
/// `+` and the output, or `-` and why the input was refused (`decode: ...`, `encode: ...`).
@main
enum Filter {
  private enum Direction: UInt8 {
    case binaryToBinary = 0x62  // b
    /// ProtoJSON, as other implementations write it.
    case binaryToJSON = 0x6a  // j
    /// JSON as Mend shows it to people.
    case binaryToOwnJSON = 0x6f  // o
    case jsonToBinary = 0x70  // p
  }

  private struct Refusal: Error {
    var reason: String
  }

  private static let types = TypeRegistry(Schema.files)

  static func main() throws {
    while let frame = try Frames.read() {
      guard frame.count >= 2, let direction = Direction(rawValue: frame[0]), frame.count >= 2 + Int(frame[1]),
        let type = types[String(decoding: frame[2..<2 + Int(frame[1])], as: UTF8.self)]
      else {
        try Frames.write(Array("-there is no such direction or message".utf8))
        continue
      }
      let answer: [UInt8]
      do throws(Refusal) {
        answer = try [UInt8(ascii: "+")] + output(type, direction, Array(frame[(2 + Int(frame[1]))...]))
      } catch {
        answer = Array("-\(error.reason)".utf8)
      }
      try Frames.write(answer)
    }
  }

  private static func output(_ type: any Message.Type, _ direction: Direction, _ input: [UInt8]) throws(Refusal)
    -> [UInt8]
  {
    let message: any Message
    do {
      if direction == .jsonToBinary {
        var options = JSONDecodingOptions()
        options.types = types
        message = try type.init(jsonText: String(decoding: input, as: UTF8.self), options: options)
      } else {
        message = try type.init(serialized: input)
      }
    } catch {
      throw Refusal(reason: "decode: \(error)")
    }
    switch direction {
    case .binaryToBinary, .jsonToBinary: return message.serialized()
    case .binaryToJSON, .binaryToOwnJSON:
      var options = direction == .binaryToJSON ? JSONEncodingOptions.canonical : JSONEncodingOptions()
      options.types = types
      do { return Array(try message.jsonValue(options).compact().utf8) } catch {
        throw Refusal(reason: "encode: \(error)")
      }
    }
  }
}
