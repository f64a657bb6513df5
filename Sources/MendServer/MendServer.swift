package import Logging
import MendAPI
import MendCore
package import MendRPC
package import MendRuntime
import NIOCore
import NIOPosix
import Synchronization

/// The whole server: a runtime, its calls on HTTP/2, and the admin port.
///
/// `run` serves until `shutdown()` is called or the store fails. It drains in this order: readiness and health report
/// the end; for `drainDelay` everything else continues; watchers are told where to resume; open calls end, or are ended
/// at the deadline; the admin port closes; the runtime stops last, so that every answer was true.
package final class MendServer: Sendable {
  package struct Configuration: Sendable {
    /// Addresses for calls. On a Unix socket the Worker service requires no bearer token.
    package var listeners: [Listener]
    /// The address of /healthz, /readyz and /metrics; nil for none.
    package var admin: AdminAddress?
    package var limits = ServerLimits()
    package var keepalive = ServerKeepalive()
    /// Event loops, one thread each.
    package var threadCount = System.coreCount
    /// How long the server continues to serve after readiness and health have reported its end: the time that load
    /// balancers need to send new connections elsewhere. Zero without a load balancer.
    package var drainDelay: Duration = .zero
    /// How long open calls may take to end once the server drains.
    package var drainTimeout: Duration = .seconds(20)
    /// How often the files of TLS listeners are checked for changes. `reload()` checks at once.
    package var certificateInterval: Duration = .seconds(5)
    /// The address of Ray's dashboard, for links in Diagnose; empty if there is none.
    package var rayDashboardURL = ""
    /// The program's version, for /metrics.
    package var version = "development"

    package init(listeners: [Listener], admin: AdminAddress? = nil) {
      self.listeners = listeners
      self.admin = admin
    }
  }

  package struct AdminAddress: Sendable, Hashable {
    package var host: String
    /// 0 picks a free one.
    package var port: Int
    package init(host: String, port: Int) {
      self.host = host
      self.port = port
    }
  }

  /// The server's addresses, with the ports that were chosen.
  package struct Addresses: Sendable, Hashable {
    /// In the order of the configuration's listeners.
    package var calls: [PeerAddress]
    package var admin: PeerAddress?
  }

  private enum Phase: Sendable {
    case recovering, serving
  }

  private let configuration: Configuration
  private let runtime: Runtime
  private let logger: Logger
  let router: Router
  private let metrics: CallMetrics
  private let tls: TLSFigures
  private let gate: Gate
  /// The server is about to drain: no new callers should come.
  private let notice = Drain()
  /// The server drains. Always after the notice.
  private let drain = Drain()
  private let phase = Mutex(Phase.recovering)
  /// The listeners whose certificates `reload()` reads.
  private let listening = Mutex<RPCServer?>(nil)

  /// - Parameter tokens: nil admits every call; then the caller must make sure that only this machine can reach the server.
  package init(configuration: Configuration, runtime: Runtime, tokens: Tokens? = nil, logger: Logger) {
    self.configuration = configuration
    self.runtime = runtime
    self.logger = logger
    let gate = Gate(tokens: tokens)
    var router = Router()
    BatchesServer(
      runtime: runtime, gate: gate, drain: drain, dashboard: configuration.rayDashboardURL, logger: logger
    ).install(in: &router)
    router.register(WorkerServer(runtime: runtime, gate: gate, logger: logger))
    router.register(
      HealthServer(
        notice: notice, drain: drain, isOnlyLookedAt: runtime.settings.refusal != nil, requestIDs: gate.requestIDs,
        services: [Batches.descriptor, Worker.descriptor]))
    let services = [
      Batches.descriptor, Worker.descriptor, GRPCHealth.descriptor, GRPCServerReflection.descriptor,
      GRPCV1AlphaServerReflection.descriptor,
    ]
    ReflectionServer(services: services, schema: Schema.files).install(in: &router)
    self.router = router
    self.gate = gate
    tls = TLSFigures(logger: logger)
    metrics = CallMetrics(router.methods, tls: tls, logger: logger)
  }

  /// Asks the server to end; `run` returns when it has. May be called at any time, from any thread, more than once.
  /// The second call cuts `drainDelay` short.
  package func shutdown() {
    if notice.hasBegun { drain.begin() }
    notice.begin()
  }

  /// Reloads certificates and tokens, changed or not, as SIGHUP asks for. Files that cannot be used are logged, and the
  /// earlier ones stay in use. Reads the disk: do not call it on an event loop.
  package func reload() {
    gate.tokens?.reload()
    if let server = listening.withLock({ $0 }) { lookAtCertificates(of: server, always: true) }
  }

  private func lookAtCertificates(of server: RPCServer, always: Bool) {
    let outcomes = server.reloadCertificates(always: always)
    tls.looked(outcomes, expiries: server.certificateExpiries)
  }

  /// Until cancelled, off the event loops.
  @concurrent
  private func watchCertificates(of server: RPCServer) async {
    while !Task.isCancelled {
      lookAtCertificates(of: server, always: false)
      try? await Task.sleep(for: configuration.certificateInterval)
    }
  }

  /// Why the server does not take all calls now; nil if it does. /readyz answers it: a load balancer must find a server
  /// that takes work, while people who look at a copied data directory call it by its address.
  package var notReady: String? {
    if notice.hasBegun { return "draining" }
    if phase.withLock({ $0 }) == .recovering { return "recovering" }
    if case .precondition(let what, let todo, _)? = runtime.settings.refusal {
      return "read_only: \(what); \(todo.text(batchID: ""))"
    }
    if let outage = runtime.storeOutage { return "store_full: the journal cannot be written: \(outage.message)" }
    return nil
  }

  /// Until cancelled, off the event loops.
  @concurrent
  private func watch(_ tokens: Tokens) async {
    while !Task.isCancelled {
      tokens.look()
      try? await Task.sleep(for: Tokens.lookInterval)
    }
  }

  private enum Finished: Sendable {
    case runtime(Result<Void, RuntimeError>)
    case calls
  }

  /// Binds its addresses, recovers, calls `onReady`, and serves until `shutdown()`. Runs once.
  ///
  /// Nothing is recovered or run before every address is bound, because another server may be there. Callers that come
  /// during recovery wait. Throws if an address cannot be bound, or if the runtime's store fails. Cancelling the task
  /// shuts down at once: the runtime stops while calls are still drained.
  package func run(onReady: @escaping @Sendable (Addresses) async -> Void = { _ in }) async throws(MendServerError) {
    let loops = MultiThreadedEventLoopGroup(numberOfThreads: max(1, configuration.threadCount))
    let admin = AdminServer(
      AdminPages(
        version: configuration.version, calls: metrics, statistics: { [runtime] in runtime.statistics },
        notReady: { [weak self] in self.map(\.notReady) ?? "stopped" }))
    let result: Result<Void, MendServerError>
    do throws(MendServerError) {
      let (server, addresses) = try await takeAddresses(admin, on: loops)
      result = await run(server, at: addresses, admin, onReady: onReady)
    } catch {
      await admin.stop()
      result = .failure(error)
    }
    try? await loops.shutdownGracefully()
    try result.get()
  }

  private func run(
    _ server: RPCServer, at addresses: Addresses, _ admin: AdminServer,
    onReady: @escaping @Sendable (Addresses) async -> Void
  ) async -> Result<Void, MendServerError> {
    await withTaskGroup(of: Finished.self) { group in
      group.addTask { [self] in
        do throws(RuntimeError) {
          try await runtime.run()
          return .runtime(.success(()))
        } catch {
          return .runtime(.failure(error))
        }
      }
      group.addTask { [self] in
        await serve(server, at: addresses, onReady: onReady)
        await admin.stop()
        return .calls
      }
      var result: Result<Void, MendServerError> = .success(())
      for await finished in group {
        switch finished {
        case .runtime(let outcome):
          if case .failure(let error) = outcome { result = .failure(.runtime(error)) }
          notice.begin()
          drain.begin()
        case .calls:
          group.cancelAll()
        }
      }
      return result
    }
  }

  /// Listens without answering calls yet.
  private func takeAddresses(
    _ admin: AdminServer, on group: any EventLoopGroup
  ) async throws(MendServerError) -> (RPCServer, Addresses) {
    var addresses = Addresses(calls: [], admin: nil)
    if let address = configuration.admin {
      // The admin port answers at once, so that a long recovery is visible from outside.
      addresses.admin = try await admin.start(host: address.host, port: address.port, on: group)
    }
    var settings = ServerConfiguration(listeners: configuration.listeners)
    settings.limits = configuration.limits
    settings.keepalive = configuration.keepalive
    settings.observer = metrics
    settings.authorize = gate.authorization
    settings.explain = CallLayerErrors(requestIDs: gate.requestIDs).explain
    let server = RPCServer(router: router, configuration: settings, on: group)
    do throws(RPCError) {
      addresses.calls = try await server.start(accepting: false)
    } catch {
      throw .cannotListen(error)
    }
    return (server, addresses)
  }

  /// Serves from recovery to the end of the last call. The runtime runs longer, before and after.
  private func serve(
    _ server: RPCServer, at addresses: Addresses, onReady: @Sendable (Addresses) async -> Void
  ) async {
    guard await hasRecovered() else {
      await server.shutdown(gracePeriod: .zero)
      return
    }
    await server.accept()
    phase.withLock { $0 = .serving }
    listening.withLock { $0 = server }
    defer { listening.withLock { $0 = nil } }
    await onReady(addresses)
    await withTaskGroup(of: Void.self) { group in
      if configuration.listeners.contains(where: { $0.tls != nil }) {
        group.addTask { [self] in await watchCertificates(of: server) }
      }
      if let tokens = gate.tokens { group.addTask { [self] in await watch(tokens) } }
      await notice.wait()
      await delayDrain()
      group.cancelAll()
    }
    logger.info("draining", metadata: ["timeout": "\(Figures.seconds(configuration.drainTimeout))"])
    notice.begin()
    drain.begin()
    await server.shutdown(gracePeriod: configuration.drainTimeout)
  }

  /// Returns after `drainDelay`, when the drain has begun, or at cancellation.
  private func delayDrain() async {
    guard configuration.drainDelay > .zero, !drain.hasBegun else { return }
    logger.info(
      "stopping soon: health and readiness report it",
      metadata: ["delay": "\(Figures.seconds(configuration.drainDelay))"])
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [configuration] in try? await Task.sleep(for: configuration.drainDelay) }
      group.addTask { [drain] in await drain.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  /// Waits for the runtime's recovery; false if the runtime ended without it, or at cancellation.
  private func hasRecovered() async -> Bool { await runtime.recovered() && !notice.hasBegun }
}

/// Why a server ended by itself.
package enum MendServerError: Error, Sendable, Hashable, CustomStringConvertible {
  /// An address that cannot be bound: which, and why; its code is one of those that `RPCServer.start` throws.
  case cannotListen(RPCError)
  case runtime(RuntimeError)

  package var description: String {
    switch self {
    case .cannotListen(let error): error.message
    case .runtime(let error): error.description
    }
  }
}
