internal import Glibc
package import NIOCore

/// Asks a listening socket for connections ten times a second while none can be taken, for want of descriptors or memory:
/// the socket goes on saying that there is one, and a loop that asks at once does nothing else.
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
    // A caller that went before it was taken is no shortage.
    guard let error = error as? IOError, error.errnoCode != ECONNABORTED else { return context.fireErrorCaught(error) }
    guard !isPausing else { return }
    isPausing = true
    observer?.acceptFailed(at: address, ConnectionFault.words(error))
    let channel = context.channel
    try? channel.syncOptions?.setOption(.autoRead, value: false)
    channel.eventLoop.scheduleTask(in: Self.pause) {
      self.isPausing = false
      try? channel.syncOptions?.setOption(.autoRead, value: true)
    }
  }
}
