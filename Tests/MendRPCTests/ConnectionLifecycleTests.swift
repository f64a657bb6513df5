import Testing

@testable import MendRPC

/// Where a connection is and what follows, without a channel: each way of the diagram in ``ConnectionLifecycle``.
@Suite struct ConnectionLifecycleTests {
  private typealias State = ConnectionLifecycle
  private let all: [State] = [
    .waiting, .lackingHTTP2, .serving, .draining(isAnnounced: false), .draining(isAnnounced: true), .ending, .lingering,
    .closed,
  ]

  /// Where the event leads from each of `all`; a state that is not named stays, and does nothing.
  private func expect(
    _ event: State.Event, _ changes: [State: (action: State.Action, next: State)],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for state in all {
      var next = state
      let action = next.on(event)
      let expected = changes[state] ?? (.nothing, state)
      #expect(action == expected.action, "\(event) in \(state)", sourceLocation: sourceLocation)
      #expect(next == expected.next, "\(event) in \(state)", sourceLocation: sourceLocation)
    }
  }

  @Test("The server speaks first where TLS agreed on HTTP/2, or where the peer says nothing")
  func greeting() {
    expect(.greetingDue, [.waiting: (.flush, .serving)])
    expect(
      .tlsAgreed(onHTTP2: true),
      [
        .waiting: (.flush, .serving), .draining(isAnnounced: false): (.flush, .draining(isAnnounced: false)),
        .draining(isAnnounced: true): (.flush, .draining(isAnnounced: true)),
      ])
  }

  @Test("A peer that does not speak HTTP/2 is answered in HTTP/1 where it speaks that")
  func foreigners() {
    expect(
      .tlsAgreed(onHTTP2: false),
      [
        .waiting: (.reportMissingHTTP2, .lackingHTTP2),
        // It stays in the drain until the channel is gone: nothing else would end it before the handshake's time limit.
        .draining(isAnnounced: false): (.close, .draining(isAnnounced: false)),
        .draining(isAnnounced: true): (.close, .draining(isAnnounced: true)),
      ])
    expect(
      .firstBytes(isHTTP1: true), [.waiting: (.refuseHTTP1, .lingering), .lackingHTTP2: (.refuseHTTP1, .lingering)])
    expect(.firstBytes(isHTTP1: false), [.waiting: (.nothing, .serving), .lackingHTTP2: (.linger, .lingering)])
  }

  @Test("A shutdown says goodbye twice, once each")
  func shutdown() {
    let draining = (action: State.Action.beginShutdown, next: State.draining(isAnnounced: false))
    expect(.shutDown, [.waiting: draining, .serving: draining, .lackingHTTP2: (.close, .lackingHTTP2)])
    expect(.shutdownHeard, [.draining(isAnnounced: false): (.finishShutdown, .draining(isAnnounced: true))])
    for state in all {
      #expect(state.isDraining == ![.waiting, .lackingHTTP2, .serving].contains(state))
    }
  }

  @Test("A finished session is closed; a terminated one lingers, so that the peer can read why")
  func ends() {
    let live = all.filter { $0 != .lingering && $0 != .closed }
    expect(
      .sessionFinished(isTerminated: false),
      Dictionary(uniqueKeysWithValues: live.map { ($0, (.close, $0)) }))
    expect(
      .sessionFinished(isTerminated: true),
      Dictionary(uniqueKeysWithValues: live.map { ($0, (.linger, .lingering)) }))
    expect(
      .sessionTerminated,
      Dictionary(uniqueKeysWithValues: live.filter { $0 != .ending }.map { ($0, (.end, .ending)) }))
  }

  @Test("A channel that is gone is let go of once, whatever the connection was doing")
  func gone() {
    let open = all.filter { $0 != .closed }
    expect(.channelGone, Dictionary(uniqueKeysWithValues: open.map { ($0, (.release, .closed)) }))
  }
}
