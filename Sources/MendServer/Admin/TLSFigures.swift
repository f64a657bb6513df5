import Logging
import MendRPC
import Synchronization

/// TLS for the log and for /metrics: failed handshakes with their reasons, and reloaded certificates.
final class TLSFigures: Sendable {
  /// The most log lines a second about failed handshakes, so that a port scan does not fill the disk.
  static let linesPerSecond = 10

  private struct State {
    var failures: [HandshakeFault.Reason: UInt64] = [:]
    var reloads: UInt64 = 0
    var refusals: UInt64 = 0
    var expiries: [String: Int64] = [:]
    var second = ContinuousClock.now
    var lines = 0
    var unwritten = 0
  }

  private let logger: Logger
  private let state = Mutex(State())

  init(logger: Logger) { self.logger = logger }

  func handshakeFailed(_ peer: PeerAddress, _ fault: HandshakeFault) {
    let unwritten: Int? = state.withLock { state in
      state.failures[fault.reason, default: 0] += 1
      let now = ContinuousClock.now
      if now - state.second >= .seconds(1) {
        state.second = now
        state.lines = 0
      }
      guard state.lines < Self.linesPerSecond else {
        state.unwritten += 1
        return nil
      }
      state.lines += 1
      defer { state.unwritten = 0 }
      return state.unwritten
    }
    guard let unwritten else { return }
    var metadata: Logger.Metadata = ["peer": "\(peer)", "reason": "\(fault.reason.rawValue)"]
    if unwritten > 0 { metadata["more"] = "\(unwritten)" }
    // Probes of a load balancer open and close a connection every few seconds.
    let level: Logger.Level = fault.reason == .closed ? .debug : .notice
    logger.log(level: level, "TLS handshake failed: \(fault.message)", metadata: metadata)
  }

  /// Records the result of a check of the certificates.
  func looked(_ outcomes: [(files: ServerTLS, outcome: CertificateReload)], expiries: [String: Int64]) {
    state.withLock { state in
      state.expiries = expiries
      for case (_, let outcome) in outcomes {
        switch outcome {
        case .unchanged: break
        case .reloaded: state.reloads += 1
        case .refused: state.refusals += 1
        }
      }
    }
    for (files, outcome) in outcomes {
      let metadata: Logger.Metadata = ["certificate": "\(files.certificateChainFile)"]
      switch outcome {
      case .unchanged: break
      case .reloaded:
        logger.notice("the certificate was reloaded; new connections use it", metadata: metadata)
      case .refused(let error):
        logger.error(
          "the changed certificate cannot be used; the earlier one stays in use: \(error.message)", metadata: metadata)
      }
    }
  }

  func write(to text: inout PrometheusWriter) {
    let state = state.withLock { $0 }
    text.family("mend_tls_handshake_failures_total", .counter, "TLS handshakes that failed, by reason.")
    for reason in HandshakeFault.Reason.allCases {
      text.sample(["reason": reason.rawValue], Double(state.failures[reason] ?? 0))
    }
    text.family("mend_tls_reloads_total", .counter, "Changed certificates, by result: loaded or refused.")
    text.sample(["outcome": "taken"], Double(state.reloads))
    text.sample(["outcome": "refused"], Double(state.refusals))
    guard !state.expiries.isEmpty else { return }
    text.family(
      "mend_tls_certificate_expiry_seconds", .gauge, "When the certificate in use expires, in Unix time, by file.")
    for (file, seconds) in state.expiries.sorted(by: { $0.key < $1.key }) {
      text.sample(["certificate": file], Double(seconds))
    }
  }
}
