public import Logging
import MendAPI
import MendCore
public import MendRPC
public import MendRuntime
import NIOCore
import NIOPosix
import Synchronization

/// The whole server: a runtime, its calls on HTTP/2, and the admin port.
///
/// `run` serves until `shutdown()` is called or the store fails. Drained in this order: readiness and health say so, for
/// `drainDelay` everything else goes on, watchers are told where to resume, open calls end or are ended at the deadline,
/// the admin port closes, and the runtime stops last, so that whatever was answered was answered truthfully.
public final class MendServer: Sendable {
  public struct Configuration: Sendable {
    /// Addresses for calls. A Unix socket is not asked for a bearer token by the Worker service.
    public var listeners: [Listener]
    /// Where /healthz, /readyz and /metrics are; nil for nowhere.
    public var admin: AdminAddress?
    public var limits = ServerLimits()
    public var keepalive = ServerKeepalive()
    /// Event loops, one thread each.
    public var threadCount = System.coreCount
    /// How long the server goes on serving after it has said by readiness and health that it ends: balancers need as long
    /// to send new connections elsewhere. Nothing, where there is none.
    public var drainDelay: Duration = .zero
    /// How long open calls may take to end once the server drains.
    public var drainTimeout: Duration = .seconds(20)
    /// How often the files of TLS listeners are looked at for a change. `reload()` looks at once.
    public var certificateInterval: Duration = .seconds(5)
    /// Of Ray's dashboard, for links in Diagnose; empty where there is none.
    public var rayDashboardURL = ""
    /// As /metrics shows it.
    public var version = "development"

    public init(listeners: [Listener], admin: AdminAddress? = nil) {
      self.listeners = listeners
      self.admin = admin
    }
  }

  public struct AdminAddress: Sendable, Hashable {
    public var host: String
    /// 0 picks a free one.
    public var port: Int
    public init(host: String, port: Int) {
      self.host = host
      self.port = port
    }
  }

  /// Where it serves, with the ports that were picked.
  public struct Addresses: Sendable, Hashable {
    /// In the order of the configuration's listeners.
    public var calls: [PeerAddress]
    public var admin: PeerAddress?
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
  /// The end is near: nobody should come any more.
  private let notice = Drain()
  /// The end has begun. After the notice, always.
  private let drain = Drain()
  private let phase = Mutex(Phase.recovering)
  /// Whose certificates `reload()` reads.
  private let listening = Mutex<RPCServer?>(nil)

  /// - Parameter tokens: nil lets every call in; whoever starts the server sees to it that only this machine can reach it.
  public init(configuration: Configuration, runtime: Runtime, tokens: Tokens? = nil, logger: Logger) {
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
        notice: notice, drain: drain, requestIDs: gate.requestIDs, services: [Batches.descriptor, Worker.descriptor]))
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

  /// Asks for the end; `run` returns when it is reached. May be called at any time, from anywhere, more than once: the
  /// second time cuts `drainDelay` short.
  public func shutdown() {
    if notice.hasBegun { drain.begin() }
    notice.begin()
  }

  /// Reads certificates and tokens again, changed or not: what an administrator means by SIGHUP. What can't be used is
  /// logged, and what was in use before stays. Reads the disk: not for an event loop.
  public func reload() {
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

  /// Why calls are not being served at present, or nil: what /readyz says.
  public var notReady: String? {
    if notice.hasBegun { return "draining" }
    if phase.withLock({ $0 }) == .recovering { return "recovering" }
    return runtime.storeOutage.map { "store_full: the journal cannot be written: \($0.message)" }
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

  /// Takes its addresses, recovers, says so by `onReady`, and serves until `shutdown()`. Runs once.
  ///
  /// Nothing is recovered or run before every address is had: another server may be there. Callers that come during
  /// recovery wait. Throws when an address can't be had, or when the runtime's store failed. Cancelling the task shuts down
  /// at once: the runtime stops while calls are still drained.
  public func run(onReady: @escaping @Sendable (Addresses) async -> Void = { _ in }) async throws(MendServerError) {
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

  /// Listens, and answers nobody yet.
  private func takeAddresses(
    _ admin: AdminServer, on group: any EventLoopGroup
  ) async throws(MendServerError) -> (RPCServer, Addresses) {
    var addresses = Addresses(calls: [], admin: nil)
    if let address = configuration.admin {
      // It answers at once, so that a long recovery can be seen from outside.
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
      throw .cannotListen(error.message)
    }
    return (server, addresses)
  }

  /// From recovery to the last call's end. The runtime runs beside it, before and after.
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
    logger.info("draining", metadata: ["timeout": "\(configuration.drainTimeout)"])
    notice.begin()
    drain.begin()
    await server.shutdown(gracePeriod: configuration.drainTimeout)
  }

  /// Returns after `drainDelay`, when the drain has begun, or at cancellation.
  private func delayDrain() async {
    guard configuration.drainDelay > .zero, !drain.hasBegun else { return }
    logger.info("stopping soon: health and readiness report it", metadata: ["delay": "\(configuration.drainDelay)"])
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [configuration] in try? await Task.sleep(for: configuration.drainDelay) }
      group.addTask { [drain] in await drain.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  /// Waits for the runtime's recovery; false when it ended without one, or nobody wants it any more.
  private func hasRecovered() async -> Bool { await runtime.recovered() && !notice.hasBegun }
}

/// Why a server ended without being asked to.
public enum MendServerError: Error, Sendable, Hashable, CustomStringConvertible {
  /// An address that can't be had: which, and why.
  case cannotListen(String)
  case runtime(RuntimeError)

  public var description: String {
    switch self {
    case .cannotListen(let message): message
    case .runtime(let error): error.description
    }
  }
}
