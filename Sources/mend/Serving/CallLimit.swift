import ArgumentParser
import MendCore
import MendRPC

/// One `--limit NAME=VALUE`: a limit of ``ServerLimits``, ``ServerKeepalive`` or ``Limits``, which give reasons for the
/// defaults.
struct CallLimit: Sendable {
  enum Field: Sendable {
    case count(any WritableKeyPath<ServerLimits, Int> & Sendable)
    case bytes(any WritableKeyPath<ServerLimits, Int> & Sendable)
    case time(any WritableKeyPath<ServerLimits, Duration> & Sendable)
    case optionalTime(any WritableKeyPath<ServerLimits, Duration?> & Sendable)
    case pingInterval, pingStrikes
    case memory(any WritableKeyPath<Limits, MemoryLimit> & Sendable)
  }

  static let fields: [(name: String, field: Field)] = [
    ("connections", .count(\.maxConnections)),
    ("connections-per-address", .count(\.maxConnectionsPerAddress)),
    ("streams", .count(\.maxConcurrentStreams)),
    ("running-calls", .count(\.maxRunningCalls)),
    ("request-bytes", .bytes(\.maxRequestBytes)),
    ("metadata-bytes", .bytes(\.maxMetadataBytes)),
    ("kept-metadata-bytes", .bytes(\.keptMetadataBytes)),
    ("buffered-request-bytes", .bytes(\.maxBufferedRequestBytes)),
    ("unsent-response-bytes", .bytes(\.maxUnsentResponseBytes)),
    ("held-bytes", .bytes(\.maxHeldBytes)),
    ("handshake-time", .time(\.handshakeTimeout)),
    ("headers-time", .time(\.headersTimeout)),
    ("request-time", .time(\.requestTimeout)),
    ("stall-time", .time(\.stallTimeout)),
    ("idle-time", .optionalTime(\.idleTimeout)),
    ("connection-age", .optionalTime(\.maxConnectionAge)),
    ("control-frame-burst", .count(\.controlFrameBurst)),
    ("cancel-burst", .count(\.cancelBurst)),
    ("fault-burst", .count(\.faultBurst)),
    ("continuation-frames", .count(\.maxContinuationFrames)),
    ("spare-window-updates", .count(\.maxSpareWindowUpdates)),
    ("unsent-frames", .count(\.maxUnsentFrames)),
    ("ping-interval", .pingInterval),
    ("ping-strikes", .pingStrikes),
    ("document-memory", .memory(\.documentMemory)),
    ("specification-memory", .memory(\.specificationMemory)),
  ]

  let name: String
  private let field: Field
  private let value: Int

  /// Parses seconds, or bytes with K, M or G; `none` where a time is optional.
  static func option(_ text: String) throws -> CallLimit {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, let (name, field) = fields.first(where: { $0.name == parts[0] }) else {
      throw ValidationError(
        "'\(text)': expected NAME=VALUE with one of the names \(fields.map(\.name).joined(separator: ", ")).")
    }
    switch field {
    case .optionalTime where parts[1] == "none":
      return CallLimit(name: name, field: field, value: -1)
    case .bytes, .memory:
      // A message is held in one piece, and its length has 32 bits on the wire.
      guard let bytes = Size.parse(parts[1]), bytes <= 1 << 40 else {
        throw ValidationError("\(name): invalid number of bytes '\(parts[1])', at most 1TiB; \(Size.accepted).")
      }
      return CallLimit(name: name, field: field, value: Int(bytes))
    case .count, .time, .optionalTime, .pingInterval, .pingStrikes:
      // Within the range of counters on the wire and of timers.
      guard let number = Int(parts[1]), (1...1_000_000_000).contains(number) else {
        throw ValidationError(
          "\(name): '\(parts[1])' must be a whole number from 1 to 1000000000; times are in seconds.")
      }
      return CallLimit(name: name, field: field, value: number)
    }
  }

  func apply(to limits: inout ServerLimits, _ keepalive: inout ServerKeepalive) {
    switch field {
    case .count(let path), .bytes(let path): limits[keyPath: path] = value
    case .time(let path): limits[keyPath: path] = .seconds(value)
    case .optionalTime(let path): limits[keyPath: path] = value < 0 ? nil : .seconds(value)
    case .pingInterval: keepalive.minPingInterval = .seconds(value)
    case .pingStrikes: keepalive.maxPingStrikes = value
    case .memory: break
    }
  }

  func apply(to limits: inout Limits) {
    if case .memory(let path) = field { limits[keyPath: path] = MemoryLimit(value) }
  }
}
