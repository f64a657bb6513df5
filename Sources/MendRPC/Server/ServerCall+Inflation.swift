internal import MendHTTP2
internal import Synchronization

/// Compressed requests.
extension ServerCall {
  /// Whether the message that begins the request, which is complete, can be read as it is. If it has to be decompressed
  /// first, that begins, and `ServerConnection.inflated(_:)` is called when it is done.
  func inflate() -> Bool {
    switch state.inflation {
    case .done: return true
    case .waiting: return false
    case .none:
      guard compressedRange != nil else { return true }
      state.inflation = .waiting
      return connection.inflations.add(self)
    }
  }

  /// The range of the compressed payload in the received bytes; nil if it is not compressed, or broken.
  private var compressedRange: Range<Int>? {
    var found: Range<Int>?
    connection.session.withReceived(handle) { bytes in
      let limit = connection.server.limits.maxRequestBytes
      if case .gzip(let range)? = try? MessageFraming.scan(bytes, limit: limit, encoding: state.encoding, who: who) {
        found = range
      }
      return 0
    }
    return found
  }

  private var who: String { state.route?.takesOneMessage == true ? "the request" : "a request message" }

  func beginInflation() -> (bytes: [UInt8], Gzip.Inflation) {
    var bytes: [UInt8] = []
    if let range = compressedRange {
      connection.session.withReceived(handle) { received in
        bytes = Array(copying: received.extracting(range))
        return 0
      }
    }
    return (bytes, Gzip.Inflation(limit: connection.server.limits.maxRequestBytes, who: who))
  }

  func endInflation(_ result: Result<[UInt8], RPCError>, compressedBytes: Int) {
    state.inflation = .done(CallState.Inflated(result, compressedBytes: compressedBytes))
    storage.requestWasCompressed.store(true, ordering: .relaxed)
    switch result {
    case .success(let plain):
      guard plain.count > Self.harmlessBytes, plain.count / Self.honestRatio > compressedBytes else { return }
    case .failure(let error):
      guard error.code == .resourceExhausted else { return }
    }
    connection.countBomb(Self.faultsOfBomb)
  }

  /// Removes the message that was taken, so that the next one of the request is first.
  func dropInflated() {
    guard case .done(let inflated) = state.inflation else { return }
    state.inflation = .none
    connection.session.withReceived(handle) { min($0.byteCount, MessageFraming.prefixBytes + inflated.compressedBytes) }
  }

  private static var harmlessBytes: Int { 1 << 20 }
  /// Gzip reaches 1,032; messages of like records 20 or 30.
  private static var honestRatio: Int { 100 }
  private static var faultsOfBomb: Int { 10 }
}
