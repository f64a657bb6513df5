public import MendProtobuf
public import MendRPC

/// The generated messages as payloads of calls: this is all that the codec and the calls know of each other.
extension RPCMessage where Self: Message {
  public static func decode(payload: RawSpan) throws(PayloadError) -> Self {
    do throws(DecodingError) {
      return try Self(serialized: payload, limits: payloadLimits)
    } catch {
      throw PayloadError(error.description)
    }
  }

  public func encodePayload(into buffer: inout [UInt8]) {
    append(to: &buffer)
  }
}

/// A call's payload is 4 MiB at most, and its elements may take sixteen times that in memory.
private let payloadLimits: DecodingLimits = {
  var limits = DecodingLimits()
  limits.elementBytes = 64 << 20
  return limits
}()
