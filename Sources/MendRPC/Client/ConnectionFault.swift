internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Why a connection could not be made or was lost, for programs: the causes that have a remedy of their own.
public enum ConnectionFault: Hashable, Sendable {
  case refused, notFound, notPermitted, noRoute, timedOut
  case untrustedCertificate, certificateRequired, noTLS

  /// Whether the two sides cannot agree on TLS, which waiting does not change.
  public var isOfTrust: Bool {
    switch self {
    case .untrustedCertificate, .certificateRequired, .noTLS: true
    case .refused, .notFound, .notPermitted, .noRoute, .timedOut: false
    }
  }

  init?(errno code: CInt) {
    switch code {
    case ECONNREFUSED: self = .refused
    case ENOENT: self = .notFound
    case EACCES: self = .notPermitted
    case EHOSTUNREACH: self = .noRoute
    case ETIMEDOUT: self = .timedOut
    default: return nil
    }
  }

  init?(_ fault: TLSFault) {
    switch fault {
    case .untrustedCertificate: self = .untrustedCertificate
    case .certificateRequired: self = .certificateRequired
    case .noTLS: self = .noTLS
    default: return nil
    }
  }
}

/// Why a connection could not be made or was lost: a message for people, shorter than a transport's, and its fault.
struct ConnectionLoss {
  var message: String
  var fault: ConnectionFault?

  init(_ message: String, _ fault: ConnectionFault? = nil) {
    self.message = message
    self.fault = fault
  }

  init(_ error: any Error) {
    switch error {
    case let error as RPCError: self.init(error.message, error.connectionFault)
    case let error as IOError: self.init(Self.system(error), ConnectionFault(errno: error.errnoCode))
    case let error as NIOConnectionError: self.init(all: error)
    case ChannelError.connectTimeout(let time): self.init("no answer after \(Duration(time))")
    case NIOSSLError.handshakeFailed: self.init(tls: "\(error)", isHandshake: true)
    case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError: self.init(tls: "\(error)", isHandshake: false)
    default: self.init("\(error)")
    }
  }

  /// "Connection refused (errno: 111)", without the name of the call that failed.
  private static func system(_ error: IOError) -> String {
    let text = error.description
    guard let range = text.firstRange(of: "): ") else { return text }
    // The library closes a bracket that it has not opened.
    return String(text[range.upperBound...]).replacing(") (errno", with: " (errno")
  }

  /// One reason if all addresses of a name had the same.
  private init(all error: NIOConnectionError) {
    let losses = error.connectionErrors.map { ConnectionLoss($0.error) }
    var reasons: [String] = []
    for loss in losses where !reasons.contains(loss.message) { reasons.append(loss.message) }
    self.init(
      reasons.isEmpty ? "the name \(error.host) cannot be resolved" : reasons.joined(separator: "; "),
      losses.lazy.compactMap(\.fault).first)
  }

  /// The library's names stay in brackets, for those who look them up.
  init(tls text: String, isHandshake: Bool) {
    guard let (sign, found) = TLSFault.find(in: text) else {
      self.init("TLS failed: \(text)")
      return
    }
    // After the handshake it is certain that the peer uses TLS: a record was broken.
    let fault = found == .noTLS && !isHandshake ? .unexpectedMessage : found
    self.init("\(fault.message) (\(sign))", ConnectionFault(fault))
  }

  /// The peer answers in HTTP/1, as a proxy or another kind of server does; nil for any other first bytes.
  init?(http1 first: ByteBuffer) {
    let text = String(decoding: first.readableBytesView.prefix(100), as: UTF8.self)
    guard text.hasPrefix("HTTP/1") else { return nil }
    self.init("it does not use HTTP/2; it answers \(text.prefix { !$0.isNewline })")
  }

  static let noALPN = ConnectionLoss("the peer uses TLS but did not agree to HTTP/2 (ALPN h2)")

  static func hungUp(hasTLS: Bool) -> ConnectionLoss {
    ConnectionLoss(
      "it closed the connection before sending an HTTP/2 frame\(hasTLS ? "" : "; perhaps it requires TLS")")
  }
}
