internal import MendHTTP2
internal import NIOCore

extension HTTP2Session {
  /// Ends a session whose owner goes, which may be on any thread: whoever held the last of its calls decides. The session's
  /// memory is its loop's alone, and so it is freed there. Nothing may use the session afterwards.
  ///
  /// A loop that was shut down before takes nothing any more; what the session held is lost then.
  func end(on loop: any EventLoop) {
    guard !loop.inEventLoop else { return }
    let remains = giveUp()
    loop.execute { remains.free() }
  }
}
