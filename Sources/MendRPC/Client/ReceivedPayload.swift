/// A received message. It is decompressed only when it is read, in the reader's task, so that messages sent ahead take
/// no more memory than the windows allow.
struct ReceivedPayload: Sendable {
  var bytes: [UInt8]
  var isGzip: Bool
  /// The largest size of a decompressed message.
  var limit: Int

  func plain(_ who: String) throws(RPCError) -> [UInt8] {
    isGzip ? try Gzip.decompress(bytes.span.bytes, limit: limit, who: who) : bytes
  }
}
