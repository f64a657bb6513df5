import MendAPI
import MendProtobuf

/// Every message of Mend's schemas, from bytes and from JSON text. The first two bytes of an input say which message and
/// which form.
///
/// What is decoded encodes to something that decodes to the same again: bytes to the same bytes, JSON to the same JSON.
final class MessagesTarget {
  private let types = Schema.files.flatMap(\.messages)
  private let registry = TypeRegistry(Schema.files)

  func run(_ input: [UInt8]) {
    guard input.count >= 2 else { return }
    let type = types[(Int(input[0]) | Int(input[1] & 1) << 8) % types.count]
    let rest = Array(input.dropFirst(2))
    if input[1] & 2 == 0 { binary(type, rest) } else { text(type, String(decoding: rest, as: UTF8.self)) }
  }

  private func binary<M: Message>(_ type: M.Type, _ bytes: [UInt8]) {
    guard let message = try? M(serialized: bytes) else { return }
    let again = roundTrip(message)
    precondition(again.unknownFields == message.unknownFields, "\(M.self) loses unknown fields")
    // Again what it was, but for times outside of the range that JSON has.
    if let json = try? message.jsonValue(options) { json.check(M.self, self) }
  }

  private func text<M: Message>(_ type: M.Type, _ text: String) {
    guard let message = try? M(jsonText: text, options: decoding) else { return }
    _ = roundTrip(message)
    do {
      try message.jsonValue(options).check(M.self, self)
    } catch {
      fatalError("\(M.self) from JSON has no JSON: \(error)")
    }
  }

  @discardableResult
  private func roundTrip<M: Message>(_ message: M) -> M {
    let bytes = message.serialized()
    do {
      let again = try M(serialized: bytes)
      // Not ==: what is not a number is not equal to itself.
      precondition(again.serialized() == bytes, "\(M.self) changes on the wire")
      precondition(again == message || again != again, "\(M.self) is another one after the wire")
      return again
    } catch {
      fatalError("\(M.self) cannot read what it wrote: \(error)")
    }
  }

  fileprivate var options: JSONEncodingOptions {
    var options = JSONEncodingOptions()
    options.types = registry
    return options
  }

  fileprivate var decoding: JSONDecodingOptions {
    var options = JSONDecodingOptions()
    options.types = registry
    return options
  }
}

extension JSONValue {
  /// Reads and writes it once more.
  fileprivate func check<M: Message>(_ type: M.Type, _ target: MessagesTarget) {
    let written = description
    do {
      let again = try M(jsonText: written, options: target.decoding)
      let second = try again.jsonValue(target.options).description
      precondition(second == written, "\(M.self) changes in JSON: \(written) \(second)")
    } catch {
      fatalError("\(M.self) cannot read the JSON that it wrote: \(error): \(written)")
    }
  }
}
