import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// One HTTP request and the status of its answer. Nothing else is read: the connection ends at the answer's head,
/// however long the rest would be.
struct WebhookCaller: Sendable {
  private let host: String
  private let port: Int
  /// The host, with the port if it is not the scheme's default.
  private let authority: String
  private let target: String
  private let timeout: Duration
  /// The TLS configuration; nil for http.
  private let tls: Result<NIOSSLContext, WebhookError>?

  init(_ url: URL, timeout: Duration) {
    let parts = URLComponents(url: url, resolvingAgainstBaseURL: true)
    let isSecure = url.scheme?.lowercased() == "https"
    let name = parts?.percentEncodedHost ?? url.host ?? ""
    host = name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : name
    port = url.port ?? (isSecure ? 443 : 80)
    authority = name + (url.port.map { ":\($0)" } ?? "")
    let path = parts?.percentEncodedPath ?? ""
    target = (path.isEmpty ? "/" : path) + (parts?.percentEncodedQuery.map { "?\($0)" } ?? "")
    self.timeout = timeout
    guard isSecure else {
      tls = nil
      return
    }
    do {
      tls = .success(try NIOSSLContext(configuration: .makeClientConfiguration()))
    } catch {
      tls = .failure(WebhookError("TLS cannot be used: \(error)"))
    }
  }

  /// Throws an error without the address, which may be confidential.
  func post(_ body: [UInt8], _ headers: [(String, String)]) async throws(WebhookError) -> Int {
    let context = try tls?.get()
    let time = TimeAmount(timeout)
    let channel: any Channel
    do {
      channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(time)
        .connect(host: host, port: port).get()
    } catch {
      throw Self.failure(error)
    }
    // Checked before anything is sent: a name may resolve to any address.
    if let address = channel.remoteAddress, ReceiverAddress.isForbidden(address) {
      channel.close(promise: nil)
      throw WebhookError("the receiver's name resolves to a cloud metadata or link-local address")
    }
    var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: target)
    head.headers = HTTPHeaders(
      [("Host", authority), ("Connection", "close"), ("Accept-Encoding", "identity")] + headers
        + [("Content-Length", String(body.count))])
    let request = head
    let host = host
    let status = channel.eventLoop.makePromise(of: Int.self)
    do {
      try await channel.eventLoop.submit {
        let pipeline = channel.pipeline.syncOperations
        if let context {
          try pipeline.addHandler(
            NIOSSLClientHandler(context: context, serverHostname: ReceiverAddress.isNumeric(host) ? nil : host))
        }
        try pipeline.addHTTPClientHandlers()
        try pipeline.addHandler(AnswerHead(status, within: time))
        channel.write(HTTPClientRequestPart.head(request), promise: nil)
        channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
      }.get()
    } catch {
      status.fail(error)
      channel.close(promise: nil)
    }
    do {
      return try await withTaskCancellationHandler {
        try await status.futureResult.get()
      } onCancel: {
        channel.close(promise: nil)
      }
    } catch {
      throw Self.failure(error)
    }
  }

  private static func failure(_ error: any Error) -> WebhookError {
    switch error {
    case let error as WebhookError: error
    case let error as NIOConnectionError:
      WebhookError(
        error.connectionErrors.isEmpty ? "the receiver's name cannot be resolved" : "the receiver cannot be reached")
    case ChannelError.connectTimeout: WebhookError("the receiver cannot be reached")
    case is NIOSSLError, is BoringSSLError:
      WebhookError("the receiver's certificate is not trusted, or it does not use TLS")
    default: WebhookError("the connection was lost")
    }
  }
}

/// Reads the status of the answer and closes the connection.
private final class AnswerHead: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart

  private let status: EventLoopPromise<Int>
  private let time: TimeAmount
  private var timeout: Scheduled<Void>?

  init(_ status: EventLoopPromise<Int>, within time: TimeAmount) {
    self.status = status
    self.time = time
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let status = status
    timeout = context.eventLoop.assumeIsolated().scheduleTask(in: time) {
      status.fail(WebhookError("no answer in time"))
      context.close(promise: nil)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data), head.status.code >= 200 else { return }
    status.succeed(Int(head.status.code))
    context.close(promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    status.fail(error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    timeout?.cancel()
    status.fail(WebhookError("the connection was lost"))
    context.fireChannelInactive()
  }
}
