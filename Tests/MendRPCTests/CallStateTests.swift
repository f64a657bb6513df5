import MendHTTP2
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import MendRPC

/// Where a call is and what follows, without a connection: each way of the diagram in ``CallState``.
@Suite struct CallStateTests {
  private let handle = StreamHandle(id: 1, slot: 0)
  private let error = RPCError(.internal, "broken")

  private func state() -> CallState { CallState(handle, at: .uptimeNanoseconds(0)) }

  private func route(_ shape: CallShape) -> Route {
    Route(MethodDescriptor(service: "s", method: "m", shape: shape), .task { _ in })
  }

  /// A call that was admitted.
  private func admitted(
    _ shape: CallShape, _ encoding: MessageEncoding = .identity, endStream: Bool
  ) -> (state: CallState, action: CallState.Action) {
    var state = state()
    let action = state.admitted(
      route(shape), encoding, acceptsGzip: true, deadline: .uptimeNanoseconds(9), endStream: endStream)
    return (state, action)
  }

  private func answering() -> CallState {
    var (state, _) = admitted(.unary, endStream: true)
    state.started()
    state.headSent()
    return state
  }

  @Test("A request that is not gRPC is answered in HTTP's terms once it has ended")
  func refusing() {
    var whole = state()
    #expect(whole.opened(as: .method, endStream: true) == .refuse(.method))
    var long = state()
    #expect(long.opened(as: .contentType, endStream: false) == .nothing)
    #expect(long.phase == .refusing(.contentType))
    #expect(long.arrived(endStream: false) == .drop)
    #expect(long.arrived(endStream: true) == .refuse(.contentType))
    long.ended()
    #expect(long.arrived(endStream: true) == .nothing)
  }

  @Test("A request that is not gRPC and never ends is answered in HTTP's terms, too")
  func refusingLate() {
    var state = state()
    _ = state.opened(as: .method, endStream: false)
    #expect(state.requestDue(.seconds(60)) == .uptimeNanoseconds(0) + .seconds(60))
    #expect(state.aborted(error, unsentBytes: 0) == .refuse(.method))
  }

  @Test("A method that takes one message starts when it is complete, one that takes a stream at once")
  func starts() {
    for shape in [CallShape.unary, .serverStreaming] {
      #expect(admitted(shape, endStream: true).action == .start)
      var (state, action) = admitted(shape, endStream: false)
      #expect(action == .nothing)
      #expect(state.requestDue(.seconds(60)) != nil)
      #expect(state.arrived(endStream: false) == .check)
      #expect(state.arrived(endStream: true) == .start)
      state.started()
      #expect(state.requestDue(.seconds(60)) == nil)
    }
    for shape in [CallShape.clientStreaming, .bidirectional] {
      var (state, action) = admitted(shape, endStream: false)
      #expect(action == .start)
      state.started()
      #expect(!state.canRead)
      #expect(state.arrived(endStream: false) == .wake)
      #expect(state.canRead)
      state.readAll()
      #expect(!state.canRead)
      state.headSent()
      #expect(state.arrived(endStream: true) == .wake)
      #expect(state.requestEnded)
    }
  }

  @Test("A compressed message starts or wakes the handler when it is decompressed, and no sooner")
  func inflating() {
    var (only, _) = admitted(.unary, .gzip, endStream: true)
    only.inflation = .waiting
    #expect(only.inflated() == .start)
    var (stream, _) = admitted(.clientStreaming, .gzip, endStream: true)
    stream.started()
    stream.inflation = .waiting
    // The request has ended, but its last message is yet to come.
    #expect(!stream.canRead)
    stream.inflation = .done(.init(.success([1]), compressedBytes: 1))
    #expect(stream.inflated() == .wake)
    #expect(stream.canRead)
    // A call that is over keeps no message.
    stream.ended()
    guard case .none = stream.inflation else {
      Issue.record("the message is kept")
      return
    }
    #expect(stream.inflated() == .nothing)
  }

  @Test("A call that is aborted sends its status, unless that would wait behind what the caller does not read")
  func aborts() {
    var (receiving, _) = admitted(.unary, endStream: false)
    #expect(receiving.aborted(error, unsentBytes: 7) == .sendStatus)
    #expect(receiving.failure?.error == error)
    #expect(receiving.canRead)
    var answered = answering()
    #expect(answered.aborted(error, unsentBytes: 0) == .sendStatus)
    var unread = answering()
    #expect(unread.aborted(error, unsentBytes: 1) == .reset)
    unread.ended()
    #expect(unread.aborted(error, unsentBytes: 1) == .nothing)
  }

  @Test("The end of a stream ends a call that is under way, and disturbs nobody after an answer")
  func closes() {
    #expect(state().streamClosed(isHandled: false) == .record)
    #expect(answering().streamClosed(isHandled: true) == .record)
    var over = answering()
    over.ended()
    #expect(over.isOver)
    #expect(over.streamClosed(isHandled: false) == .nothing)
    #expect(over.streamClosed(isHandled: true) == .stop)
    over.wasWaitedFor = true
    #expect(over.streamClosed(isHandled: false) == .stop)
    over.failed(error)
    over.failed(RPCError(.cancelled, "later"))
    #expect(over.failure?.error == error)
  }

  @Test("Nothing of a call is left in the next one of its slot")
  func reuse() throws {
    let channel = EmbeddedChannel()
    let server = ServerShared(Router(), ServerConfiguration())
    let connection = try ServerConnection(server, channel, peer: .inProcess, isSecure: false)
    let call = ServerCall(connection, handle, now: .uptimeNanoseconds(0))
    call.state = admitted(.bidirectional, .gzip, endStream: true).state
    call.state.started()
    call.state.headSent()
    _ = call.state.arrived(endStream: true)
    _ = call.state.aborted(error, unsentBytes: 1)
    call.state.inflation = .waiting
    call.state.requestBytes = 1
    call.state.responseBytes = 2
    call.state.wasWaitedFor = true
    call.storage.request.value.metadata = ["a": "b"]
    call.storage.request.value.deadline = .now
    call.storage.request.value.identity = CallIdentity(subject: "somebody")
    call.context.setInitialMetadata(["c": "d"])
    call.context.setTrailingMetadata(["e": "f"])
    call.context.setCompression(CompressionPolicy(.gzip))
    call.storage.requestWasCompressed.store(true, ordering: .relaxed)

    let next = StreamHandle(id: 3, slot: 0)
    let fresh = ServerCall(connection, next, now: .uptimeNanoseconds(5))
    for (used, unused) in zip(fields(of: call), fields(of: fresh)) {
      #expect(used != unused, "this test has to change \(used)")
    }
    call.reuse(next, now: .uptimeNanoseconds(5))
    #expect(fields(of: call) == fields(of: fresh))
  }

  /// Every field of a call but the method, which is set before a handler can see it.
  private func fields(of call: ServerCall) -> [String] {
    let request = call.storage.request.value
    let response = call.storage.response.withLock { $0 }
    return ([call.state, request, response] as [Any]).flatMap { Mirror(reflecting: $0).children }
      .filter { $0.label != "facts" }.map { "\($0.label ?? ""): \($0.value)" }
      + ["requestWasCompressed: \(call.storage.requestWasCompressed.load(ordering: .relaxed))"]
      + ["hasResponse: \(call.storage.hasResponse)"]
  }
}
