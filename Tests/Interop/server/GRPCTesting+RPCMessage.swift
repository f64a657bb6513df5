public import MendProtobuf
public import MendRPC

/// The generated messages as payloads of calls, as MendAPI does it for Mend's own.
extension RPCMessage where Self: Message {
  public static func decode(payload: RawSpan) throws(PayloadError) -> Self {
    do throws(DecodingError) {
      return try Self(serialized: payload)
    } catch {
      throw PayloadError(error.description)
    }
  }

  public func encodePayload(into buffer: inout [UInt8]) {
    append(to: &buffer)
  }
}
