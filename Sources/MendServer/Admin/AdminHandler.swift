import NIOCore
import NIOHTTP1

/// Answers one admin connection. Only GET and HEAD; a request must be small, and complete in time.
///
/// An answer is made once the previous one is on its way. A client that reads nothing is not read from, so that a
/// connection holds one answer and the bytes of one read. This needs the pipeline's HTTPServerPipelineHandler, which
/// passes on one request at a time.
final class AdminHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  struct Limits: Sendable {
    /// Bytes of a request line and headers; a scrape has a few hundred.
    var headBytes = 16 << 10
    /// Bytes of a body; nothing here needs one, and it is ignored.
    var bodyBytes = 64 << 10
    /// The time from the connection to the end of its first request.
    var firstRequestTimeout: TimeAmount = .seconds(5)
    /// The time from the last answer to the end of the next request, and for the client to read an answer.
    var requestTimeout: TimeAmount = .seconds(60)
  }

  private let pages: AdminPages
  private let limits: Limits
  /// Called for each request that was answered.
  private let answered: () -> Void
  private var head: HTTPRequestHead?
  /// A request that arrived before the previous answer was read.
  private var waiting: HTTPRequestHead?
  private var bodyBytes = 0
  private var isRefused = false
  private var timeout: Scheduled<Void>?

  init(_ pages: AdminPages, limits: Limits = Limits(), answered: @escaping () -> Void = {}) {
    self.pages = pages
    self.limits = limits
    self.answered = answered
  }

  func channelActive(context: ChannelHandlerContext) {
    end(context, in: limits.firstRequestTimeout)
    context.fireChannelActive()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable, let head = waiting {
      waiting = nil
      answer(context, head)
    }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    timeout?.cancel()
    timeout = nil
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isRefused else { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      let size = head.headers.reduce(head.uri.utf8.count) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
      guard size <= limits.headBytes else {
        return refuse(context, 431, "at most \(limits.headBytes) bytes of headers")
      }
      self.head = head
      bodyBytes = 0
    case .body(let part):
      bodyBytes += part.readableBytes
      if bodyBytes > limits.bodyBytes { refuse(context, 413, "at most \(limits.bodyBytes) bytes of body") }
    case .end:
      guard let head else { return }
      self.head = nil
      guard context.channel.isWritable else {
        waiting = head
        return end(context, in: limits.requestTimeout)
      }
      answer(context, head)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  /// Closes the connection, unless something happens before.
  private func end(_ context: ChannelHandlerContext, in time: TimeAmount) {
    timeout?.cancel()
    timeout = context.eventLoop.assumeIsolated().scheduleTask(in: time) {
      context.close(promise: nil)
    }
  }

  private func answer(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    timeout?.cancel()
    answered()
    guard head.method == .GET || head.method == .HEAD else {
      return write(context, .plain(405, "GET or HEAD"), head, extra: [("allow", "GET, HEAD")])
    }
    let path = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init)
    write(context, pages.page(path ?? "/"), head)
  }

  private func refuse(_ context: ChannelHandlerContext, _ status: Int, _ message: String) {
    isRefused = true
    let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: ["connection": "close"])
    write(context, .plain(status, message), head)
  }

  private func write(
    _ context: ChannelHandlerContext, _ page: AdminPages.Page, _ request: HTTPRequestHead,
    extra: [(String, String)] = []
  ) {
    let body = Array(page.body.utf8)
    var headers = HTTPHeaders(extra)
    headers.add(name: "content-type", value: page.contentType)
    headers.add(name: "content-length", value: "\(body.count)")
    headers.add(name: "cache-control", value: "no-store")
    if !request.isKeepAlive { headers.add(name: "connection", value: "close") }
    let head = HTTPResponseHead(
      version: request.version, status: HTTPResponseStatus(statusCode: page.status), headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if request.method != .HEAD {
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
    }
    let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    // Also if nobody reads the answer.
    end(context, in: limits.requestTimeout)
    if !request.isKeepAlive {
      written.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }
  }
}
