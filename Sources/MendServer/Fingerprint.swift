import MendRPC

/// A 64-bit hash of a request. It tells a repeated call from an idempotency key that is used for two requests.
enum Fingerprint {
  /// FNV-1a over the method's path and the request's bytes, which are the same for the same message. The caller removes
  /// the idempotency key first. There is no defence against forgery: a caller could only deceive itself.
  static func of(_ request: some RPCMessage, _ method: MethodDescriptor) -> UInt64 {
    of(request.payload, seed: of(Array(method.path.utf8)))
  }

  static func of(_ bytes: [UInt8], seed: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
    bytes.reduce(seed) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }
}
