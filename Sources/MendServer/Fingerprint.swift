import MendRPC

/// What a request says, in 64 bits: tells a call that is repeated from an idempotency key that is used twice.
enum Fingerprint {
  /// FNV-1a over the method's path and the request's bytes, which are the same for the same message. The caller takes
  /// the idempotency key out first. No defence against forgery: a caller could only deceive itself.
  static func of(_ request: some RPCMessage, _ method: MethodDescriptor) -> UInt64 {
    of(request.payload, seed: of(Array(method.path.utf8)))
  }

  static func of(_ bytes: [UInt8], seed: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
    bytes.reduce(seed) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }
}
