/// One message as it arrived. Decompressed only when somebody reads it, in the reader's task: what a server sends ahead
/// then takes no more memory than the windows allow.
struct ReceivedPayload: Sendable {
  var bytes: [UInt8]
  var isGzip: Bool
  /// Of a message, decompressed.
  var limit: Int

  func plain(_ who: String) throws(RPCError) -> [UInt8] {
    isGzip ? try Gzip.decompress(bytes.span.bytes, limit: limit, who: who) : bytes
  }
}
