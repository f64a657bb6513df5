internal import Glibc
package import NIOCore

/// Accepts connections only ten times a second while descriptors or memory are exhausted: the socket stays readable,
/// and a loop that tried again at once would do nothing else.
package final class AcceptPause: ChannelInboundHandler, @unchecked Sendable {
  // Unchecked: touched on the channel's loop alone.
  package typealias InboundIn = any Channel

  private let address: ServerAddress
  private let observer: (any ServerObserver)?
  private var isPausing = false

  private static let pause = TimeAmount.milliseconds(100)

  package init(_ address: ServerAddress, _ observer: (any ServerObserver)?) {
    self.address = address
    self.observer = observer
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A caller that left before it was accepted is not a shortage.
    guard let error = error as? IOError, error.errnoCode != ECONNABORTED else { return context.fireErrorCaught(error) }
    guard !isPausing else { return }
    isPausing = true
    observer?.acceptFailed(at: address, ConnectionLoss(error).message)
    let channel = context.channel
    try? channel.syncOptions?.setOption(.autoRead, value: false)
    channel.eventLoop.scheduleTask(in: Self.pause) {
      self.isPausing = false
      try? channel.syncOptions?.setOption(.autoRead, value: true)
    }
  }
}
