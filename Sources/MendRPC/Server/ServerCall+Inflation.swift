internal import MendHTTP2
internal import Synchronization

/// What becomes of compressed requests.
extension ServerCall {
  /// A message that was decompressed, or why it can't be. Boxed: most calls have none.
  final class Inflated {
    let result: Result<[UInt8], RPCError>
    let compressedBytes: Int

    init(_ result: Result<[UInt8], RPCError>, compressedBytes: Int) {
      self.result = result
      self.compressedBytes = compressedBytes
    }
  }

  /// Whether the message that begins the request, which is complete, can be read as it is. If not, its turn comes, and
  /// `ServerConnection.inflated(_:)` is told.
  var isInflated: Bool {
    guard inflated == nil else { return true }
    guard !isInflating else { return false }
    guard compressedRange != nil else { return true }
    isInflating = true
    return connection.inflations.add(self)
  }

  /// Where the compressed payload is in what was received; nil where it is not compressed, or broken.
  private var compressedRange: Range<Int>? {
    var found: Range<Int>?
    connection.session.withReceived(handle) { bytes in
      let limit = connection.server.limits.maxRequestBytes
      if case .gzip(let range)? = try? MessageFraming.scan(bytes, limit: limit, encoding: encoding, who: who) {
        found = range
      }
      return 0
    }
    return found
  }

  private var who: String { route?.takesOneMessage == true ? "the request" : "a request message" }

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
    isInflating = false
    inflated = Inflated(result, compressedBytes: compressedBytes)
    storage.requestWasCompressed.store(true, ordering: .relaxed)
    switch result {
    case .success(let plain):
      guard plain.count > Self.harmlessBytes, plain.count / Self.honestRatio > compressedBytes else { return }
    case .failure(let error):
      guard error.code == .resourceExhausted else { return }
    }
    connection.countBomb(Self.faultsOfBomb)
  }

  /// The message was taken: of the request that is left, another is the first.
  func dropInflated() {
    guard let inflated else { return }
    self.inflated = nil
    connection.session.withReceived(handle) { min($0.byteCount, MessageFraming.prefixBytes + inflated.compressedBytes) }
  }

  private static var harmlessBytes: Int { 1 << 20 }
  /// Gzip reaches 1,032; messages of like records 20 or 30.
  private static var honestRatio: Int { 100 }
  private static var faultsOfBomb: Int { 10 }
}
