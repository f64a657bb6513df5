internal import MendHTTP2
internal import NIOCore

extension HTTP2Session {
  /// Ends a session whose owner is released, on any thread. The session's memory belongs to its loop and is freed
  /// there. Nothing may use the session afterwards.
  ///
  /// If the loop is already shut down, the memory is lost.
  func end(on loop: any EventLoop) {
    guard !loop.inEventLoop else { return }
    let remains = giveUp()
    loop.execute { remains.free() }
  }
}
