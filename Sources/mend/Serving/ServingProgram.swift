import Glibc
import Logging
import MendClient
import MendCore
import MendExecutors
import MendRPC
import MendRuntime
import MendServer
import MendStore

/// `mend serve`: assembles store, executor, runtime and server, and serves until a signal ends it.
struct ServingProgram {
  let options: Serve
  let listen: Endpoint
  let admin: Endpoint?

  func run() async throws {
    let directory = FileDocuments.absolutePath(options.data, in: FileDocuments.currentDirectory())
    let socket = directory + "/mend.sock"
    try Self.check(socketPath: socket, todo: "choose a shorter --data")
    if let path = options.unix { try Self.check(socketPath: path, todo: "choose a shorter --unix") }
    try Self.makeDirectory(directory)
    // Files below it have tokens of attempts and values of environments, which other users must not read.
    umask(0o077)
    let softOpenFilesLimit = Self.raiseDescriptorLimit()
    Standard.ignoreFileSizeLimits()

    var logger = Logger(label: "mend") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = options.logLevel.level
    // From here on a signal drains the server instead of ending the program at once.
    let terminations = TerminationSignals()
    let (server, notifier, store) = try await server(
      directory: directory, socket: socket, softOpenFilesLimit: softOpenFilesLimit, logger: logger)
    let hangups = SignalSources([SIGHUP]) { [logger] _ in
      logger.notice("SIGHUP: reloading certificates and tokens")
      server.reload()
    }
    // By default each of them ends a program at once. Nobody has a reason to send them to a server.
    let unwanted = SignalSources([SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO]) { [logger] signal in
      logger.notice("a signal without a meaning for the server is ignored", metadata: ["signal": "\(signal)"])
    }
    defer { withExtendedLifetime((hangups, unwanted)) {} }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          await terminations.wait()
          server.shutdown()
          // A second signal cuts the wait short.
          await terminations.wait()
          server.shutdown()
        }
        group.addTask { try await server.run { addresses in ready(addresses) } }
        if let notifier { group.addTask { await notifier.run() } }
        // The server has ended, for whatever reason; stop waiting for a signal.
        var isServing = true
        while isServing, try await group.next() != nil { isServing = !server.hasEnded }
        group.cancelAll()
      }
    } catch let error as MendServerError {
      throw ProgramError(.refused, Self.sentence(error))
    }
    // What cannot be written back now stays in the log, where the next server finds it.
    try? store.close()
  }

  private func server(
    directory: String, socket: String, softOpenFilesLimit: Int, logger: Logger
  ) async throws -> (ServedServer, Notifier?, SQLiteStore) {
    var webhook = try webhookSettings()
    let store: SQLiteStore
    var standing: DataDirectoryStanding?
    do throws(StoreError) {
      store = try SQLiteStore(directory: directory, version: Mend.version)
      if store.damage == nil { standing = try self.standing(of: directory, store, logger: logger) }
    } catch {
      throw ProgramError(.refused, error.message)
    }
    if !store.tightened.isEmpty {
      logger.warning(
        "other users could read files of the journal, which have tokens and values of environments",
        metadata: ["files": "\(store.tightened.joined(separator: " "))"])
    }
    let tokens = try options.tokens.map { path in
      do throws(TokensError) {
        return try Tokens(path: path, logger: logger)
      } catch {
        throw ProgramError.usage("--tokens: \(error.message); mend token create creates the file")
      }
    }
    let clock = SystemClock(continuing: directory)
    if abs(clock.aheadOfWall.inSeconds) >= 1 {
      logger.warning(
        """
        the machine's clock was set since the server before this one; its time goes on, and differs from the clock's \
        until the machine starts again. Without the file clock in the data directory the next server takes the clock's
        """,
        metadata: ["seconds_ahead": "\(clock.aheadOfWall.inSeconds)"])
    }
    let crashNote = crashFile(directory + "/crash", store, clock, logger)
    store.crashNote = crashNote
    var settings = RuntimeSettings()
    settings.keepFinished = options.keepFinished.duration
    let executors: [(any Executor, Capacity)]
    var identity = ServerIdentity.none
    switch standing {
    case .own(let own):
      identity = own
      executors = try await self.executors(
        Surroundings(
          directory: directory, socket: socket, identity: own, softOpenFilesLimit: softOpenFilesLimit, store: store),
        clock: clock, logger: logger)
    case .copy(let original):
      // The original server sends the same notifications.
      webhook = nil
      settings.refusal = Self.refusal(of: directory, original)
      executors = options.executorKinds.map { (AbsentExecutor(kind: $0), .unknown($0)) }
    case nil:
      webhook = nil
      settings.refusal = Self.refusal(damage: store.damage, logger: logger)
      settings.isDamaged = true
      executors = options.executorKinds.map { (AbsentExecutor(kind: $0), .unknown($0)) }
    }
    guard let capacity = executors.first?.1 else { throw ProgramError.usage("--executor: there is none") }
    let capacities = Capacities(capacity, executors.dropFirst().map(\.1), traits: ExecutorKind.traits)
    var limits = Limits()
    limits.quotas = try QuotaOption.quotas(options.quotas)
    limits.notifies = webhook != nil
    limits.documentMemory = MemoryLimit(min(limits.documentMemory.all, Int(Machine.memoryBytes / 4)))
    for limit in options.limits { limit.apply(to: &limits) }
    if let keep = settings.keepFinished {
      // With a shorter retention, batches have to leave memory and be pruned sooner.
      limits.retireAfter = min(limits.retireAfter, keep)
      settings.pruneInterval = min(settings.pruneInterval, max(.seconds(1), keep))
    }
    var core = Core(limits: limits, capacities: capacities, generator: SystemRandomNumberGenerator())
    core.server = identity
    let runtime = Runtime(
      core: core, store: store, executors: executors.map(\.0), clock: clock, settings: settings, crashNote: crashNote,
      logger: logger)
    for case let simulated as SimulatedExecutor in executors.map(\.0) {
      // Its workers make the same calls, without a socket.
      simulated.connect { [weak runtime] request in
        await runtime?.worker(request) ?? .failure(.unavailable("the server has ended"))
      }
    }
    var configuration = MendServer.Configuration(listeners: listeners(socket: socket), admin: adminAddress)
    configuration.version = Mend.version
    for limit in options.limits { limit.apply(to: &configuration.limits, &configuration.keepalive) }
    configuration.drainDelay = .seconds(options.drainDelay)
    configuration.drainTimeout = .seconds(options.drainTimeout)
    configuration.rayDashboardURL = options.ray ?? ""
    let server = MendServer(configuration: configuration, runtime: runtime, tokens: tokens, logger: logger)
    let notifier = webhook.map { Notifier(runtime: runtime, settings: $0, logger: logger) }
    return (ServedServer(server), notifier, store)
  }

  /// Records the batch over which the previous server crashed, and sets it aside after the second crash.
  private func crashFile(_ path: String, _ store: SQLiteStore, _ clock: SystemClock, _ logger: Logger) -> CrashFile? {
    if let crash = CrashFile.last(at: path) {
      var times = 0
      if let batch = crash.batch {
        do throws(StoreError) {
          times = try store.noteCrash(of: batch, signal: crash.signal, at: clock.now())
        } catch {
          logger.error("a crash cannot be recorded", metadata: ["error": "\(error)"])
        }
      }
      logger.error(
        "the previous server crashed",
        metadata: [
          "signal": "\(crash.signal)", "namespace": "\(crash.batch?.namespace ?? "")",
          "batch": "\(crash.batch?.batchID ?? "unknown")", "times": "\(times)",
          "todo": "tell the developers; the second crash over a batch within a day sets it aside",
        ])
    }
    return CrashFile(path: path)
  }

  /// Nil without a receiver of notifications.
  private func webhookSettings() throws -> WebhookSettings? {
    guard let url = options.notifyURL, let file = options.notifySecretFile else { return nil }
    let secret = try Standard.text(of: file, option: "--notify-secret-file", limit: 4096)
    do throws(WebhookError) {
      // Editors end the file with a line feed that is not part of the secret.
      var settings = try WebhookSettings(url: url, secret: Array(secret.trimmingLineFeeds.utf8))
      settings.userAgent = "mend/\(Mend.version)"
      return settings
    } catch {
      throw ProgramError.usage("--notify-url, --notify-secret-file: \(error)")
    }
  }

  private func listeners(socket: String) -> [Listener] {
    var listeners: [Listener] = []
    if case .tcp(let host, let port) = listen {
      var tls: ServerTLS?
      if let certificate = options.tlsCertificate, let key = options.tlsKey {
        tls = ServerTLS(
          certificateChainFile: certificate, privateKeyFile: key, clientAuthorityFile: options.tlsClientAuthority)
      }
      listeners.append(.tcp(host: host, port: port, tls: tls))
    }
    listeners.append(.unix(path: socket))
    if let path = options.unix { listeners.append(.unix(path: path)) }
    return listeners
  }

  private var adminAddress: MendServer.AdminAddress? {
    guard case .tcp(let host, let port)? = admin else { return nil }
    return MendServer.AdminAddress(host: host, port: port)
  }

  /// The line that scripts wait for.
  private func ready(_ addresses: MendServer.Addresses) {
    let listen = addresses.calls.first.map { "\($0)" } ?? "none"
    let admin = addresses.admin.map { "\($0)" } ?? "none"
    let kinds = options.executorKinds.map(\.rawValue)
    let others = kinds.count > 1 ? " executors=\(kinds.joined(separator: ","))" : ""
    Standard.outputIfPossible(
      "mend: ready listen=\(listen) admin=\(admin) data=\(options.data) executor=\(options.executor.rawValue)\(others)\n"
    )
  }

  private static func sentence(_ error: MendServerError) -> String {
    guard case .cannotListen(let error) = error else { return error.description }
    let advice =
      switch error.code {
      case .failedPrecondition:
        "; --tls-cert and --tls-key are a certificate chain and its key, --tls-client-ca a CA, all PEM"
      case .alreadyExists: ""
      case .notFound: "; create its directory, or choose another --unix"
      default: "; end what listens there, or choose another --listen, --admin or --unix (port 0 picks a free port)"
      }
    return error.message + advice
  }

  private static func check(socketPath path: String, todo: String) throws {
    let length = path.utf8.count
    guard length <= Endpoint.unixPathMaximum else {
      throw ProgramError.usage(
        "the socket path \(path) has \(length) bytes, and the system allows at most \(Endpoint.unixPathMaximum): \(todo)"
      )
    }
  }

  /// Creates the directory with its parents. Its mode keeps other users out, because tokens of attempts are below it.
  private static func makeDirectory(_ path: String) throws {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      if mkdir(made, made == path ? 0o700 : 0o755) == 0 { continue }
      let failure = errno
      guard failure == EEXIST || access(made, F_OK) == 0 else {
        throw ProgramError(.refused, "--data: \(made) cannot be created: \(Standard.systemError(failure))")
      }
    }
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw ProgramError(.refused, "--data: \(path) is not a directory")
    }
  }

  /// Raises the soft limit on open files, because each connection and each attempt needs descriptors. Returns the
  /// earlier limit, which jobs get; 0 if there was none.
  private static func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
    let found = limit.rlim_cur
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: found)
  }
}

extension String {
  fileprivate var trimmingLineFeeds: Substring {
    var text = self[...]
    while text.last?.isNewline == true { text.removeLast() }
    return text
  }
}
