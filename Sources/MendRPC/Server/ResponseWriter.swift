internal import NIOCore

/// Writes a handler's responses.
public struct ResponseWriter<Message: RPCMessage>: Sendable {
  let call: ServerCall

  /// Sends one message, after those before it.
  ///
  /// Returns without suspending while less than the high-water mark waits to be sent; above it suspends until the
  /// caller has read enough. Messages written close together share frames and packets. Throws CANCELLED when the call
  /// is over: the caller left, its deadline passed, or the connection is lost. With `compressed` false the message is
  /// sent as it is, also where the call's others are compressed.
  public func write(_ message: Message, compressed: Bool = true) async throws(RPCError) {
    guard call.loop.inEventLoop else { return try await writeFromElsewhere(message, compressed) }
    if try call.write(message, compressed: compressed) { return }
    try await call.waitUntilDrained()
  }

  private func writeFromElsewhere(_ message: Message, _ compressed: Bool) async throws(RPCError) {
    var payload: [UInt8] = []
    message.encodePayload(into: &payload)
    let raw = RawMessage(payload)
    let result: Result<Bool, RPCError> = await call.loop.hop { [call] in
      do throws(RPCError) {
        return .success(try call.write(raw, compressed: compressed))
      } catch {
        return .failure(error)
      }
    }
    if try result.get() { return }
    try await call.waitUntilDrained()
  }
}
