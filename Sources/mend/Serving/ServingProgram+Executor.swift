import Logging
import MendClient
import MendCore
import MendExecutors
import MendRuntime
import Synchronization

extension ServingProgram {
  /// The executors with their capacities; the default executor first.
  func executors(
    _ surroundings: Surroundings, clock: SystemClock, logger: Logger
  ) async throws -> [(any Executor, Capacity)] {
    var executors: [(any Executor, Capacity)] = []
    for kind in options.executorKinds {
      switch kind {
      case .local: executors.append(try localExecutor(surroundings, logger: logger))
      case .simulated: executors.append((SimulatedExecutor(clock: clock), simulatedCapacity))
      case .ray: executors.append(try await rayExecutor(directory: surroundings.directory, logger: logger))
      }
    }
    return executors
  }

  private func localExecutor(
    _ surroundings: Surroundings, logger: Logger
  ) throws -> (any Executor, Capacity) {
    let machine = Capacity(
      executor: .local, cpus: Double(Machine.cpus), memoryBytes: Machine.memoryBytes, gpus: Machine.gpus)
    do throws(LocalExecutor.SetupError) {
      var settings = LocalExecutor.Settings(
        dataDirectory: surroundings.directory, mendBinary: Machine.programPath,
        endpoint: "unix:\(surroundings.socket)", logger: logger)
      settings.identity = surroundings.identity
      settings.softOpenFilesLimit = surroundings.softOpenFilesLimit
      settings.isKnown = { [store = surroundings.store] in try !store.journal(of: $0, after: 0, limit: 1).isEmpty }
      settings.account = try options.attemptUser.map { name throws(LocalExecutor.SetupError) in
        try AttemptAccount(name: name)
      }
      let executor = try LocalExecutor(settings)
      return (executor, options.stated(.local).over(machine))
    } catch {
      throw ProgramError(.refused, error.description)
    }
  }

  /// Nothing of this machine is used, so its resources are not a limit.
  private var simulatedCapacity: Capacity {
    options.stated(.simulated).over(Capacity(executor: .simulated, cpus: 1000, memoryBytes: 1 << 40, gpus: 1000))
  }

  private func rayExecutor(directory: String, logger: Logger) async throws -> (any Executor, Capacity) {
    let workerToken = Environment["MEND_RAY_WORKER_TOKEN"]
    guard options.tokens == nil || workerToken != nil else {
      throw ProgramError.usage(
        """
        --tokens is asked of workers on Ray's nodes too: set MEND_RAY_WORKER_TOKEN to one that \
        'mend token create --role worker' printed
        """)
    }
    var settings = RayExecutor.Settings(
      url: options.ray ?? "", token: try rayToken(), dataDirectory: directory,
      workerEndpoint: try workerEndpoint(), workerToken: workerToken, logger: logger)
    settings.workerAuthorities = try workerAuthorities()
    let stated = options.stated(.ray)
    do throws(RayExecutor.SetupError) {
      if let cpus = stated.cpus, let memoryBytes = stated.memoryBytes {
        let capacity = Capacity(executor: .ray, cpus: cpus, memoryBytes: memoryBytes, gpus: stated.gpus ?? 0)
        return (try RayExecutor(settings), capacity)
      }
      // A cluster grows and shrinks.
      settings.announcesCapacity = { stated.over($0) }
      guard options.executor == .ray else {
        // Local batches do not wait for the cluster: its capacity is learned when it answers.
        let executor = try RayExecutor(settings)
        return (executor, executor.knownCapacity.map(stated.over) ?? .unknown(.ray))
      }
      let executor = try RayExecutor(settings)
      return (executor, stated.over(try await executor.capacity()))
    } catch {
      throw ProgramError(.refused, error.description)
    }
  }

  /// The cluster's token: MEND_RAY_TOKEN, or the content of a file that is read before each call, so that it can be
  /// renewed.
  private func rayToken() throws -> @Sendable () -> String? {
    guard let file = options.rayTokenFile else {
      let token = Environment["MEND_RAY_TOKEN"]
      return { token }
    }
    let first = try Self.readToken(file)
    let last = Mutex(first)
    return {
      // While the file is being rewritten, the earlier token is used.
      guard let token = try? Self.readToken(file) else { return last.withLock { $0 } }
      last.withLock { $0 = token }
      return token
    }
  }

  private static func readToken(_ file: String) throws -> String {
    let text = try Standard.text(of: file, option: "--ray-token-file", limit: 16 << 10, isBlocking: false)
    let token = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    guard !token.isEmpty else { throw ProgramError.usage("--ray-token-file: \(file) has no token") }
    return token
  }

  private func workerAuthorities() throws -> String? {
    guard let file = options.workerAuthority, file != "system" else { return options.workerAuthority }
    // The text becomes a variable in each attempt's environment.
    let text = try Standard.text(of: file, option: "--worker-tls-ca", limit: 32 << 10)
    guard let start = text.firstRange(of: "-----BEGIN CERTIFICATE-----")?.lowerBound else {
      throw ProgramError.usage("--worker-tls-ca: \(file) has no PEM certificate")
    }
    return String(text[start...])
  }

  /// The endpoint is passed to jobs that outlive this server, so it has to be valid for the next one, too.
  private func workerEndpoint() throws -> String {
    let text = options.workerEndpoint
    let endpoint = try text.map { try Serve.address($0, "--worker-endpoint") } ?? listen
    guard case .tcp(let host, let port) = endpoint, port != 0, host != "0.0.0.0", host != "::" else {
      throw ProgramError.usage(
        """
        workers on Ray's nodes cannot find \(text ?? options.listen): give --worker-endpoint HOST:PORT (and --listen a \
        port of its own), and keep it over restarts
        """)
    }
    return endpoint.description
  }
}
