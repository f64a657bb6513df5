import Logging
import MendClient
import MendCore
import MendExecutors
import MendRuntime

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

extension ServingProgram {
  /// What runs attempts, and what it has to give.
  func executor(
    directory: String, socket: String, logger: Logger
  ) async throws -> (any Executor, Capacity) {
    switch options.executor {
    case .local: try localExecutor(directory: directory, socket: socket, logger: logger)
    case .simulated: (SimulatedExecutor(clock: SystemClock()), simulatedCapacity)
    case .ray: try await rayExecutor(directory: directory, logger: logger)
    }
  }

  private func localExecutor(
    directory: String, socket: String, logger: Logger
  ) throws -> (any Executor, Capacity) {
    let capacity = Capacity(
      executor: .local, cpus: options.cpus ?? Double(Machine.cpus),
      memoryBytes: options.memory?.bytes ?? Machine.memoryBytes, gpus: options.gpus ?? Machine.gpus)
    do throws(LocalExecutor.SetupError) {
      var settings = LocalExecutor.Settings(
        dataDirectory: directory, mendBinary: Machine.programPath, endpoint: "unix:\(socket)", logger: logger)
      settings.account = try options.attemptUser.map { name throws(LocalExecutor.SetupError) in
        try AttemptAccount(name: name)
      }
      let executor = try LocalExecutor(settings)
      return (executor, capacity)
    } catch {
      throw ProgramError(.refused, error.description)
    }
  }

  /// Nothing of this machine is used, so what it has is no bound.
  private var simulatedCapacity: Capacity {
    Capacity(
      executor: .simulated, cpus: options.cpus ?? 1000, memoryBytes: options.memory?.bytes ?? 1 << 40,
      gpus: options.gpus ?? 1000)
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
      url: options.ray ?? "", token: Environment["MEND_RAY_TOKEN"], dataDirectory: directory,
      workerEndpoint: try workerEndpoint(), workerToken: workerToken, logger: logger)
    settings.workerAuthorities = try workerAuthorities()
    do throws(RayExecutor.SetupError) {
      let executor = try RayExecutor(settings)
      return (executor, try await rayCapacity(of: executor))
    } catch {
      throw ProgramError(.refused, error.description)
    }
  }

  private func workerAuthorities() throws -> String? {
    guard let file = options.workerAuthority, file != "system" else { return options.workerAuthority }
    let descriptor = open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw ProgramError.usage("--worker-tls-ca: \(file) cannot be read: \(Standard.systemError())")
    }
    defer { close(descriptor) }
    // It becomes a variable of each attempt's environment.
    let text = try Standard.readText(descriptor, name: "--worker-tls-ca", limit: 32 << 10)
    guard let start = text.firstRange(of: "-----BEGIN CERTIFICATE-----")?.lowerBound else {
      throw ProgramError.usage("--worker-tls-ca: \(file) holds no PEM certificate")
    }
    return String(text[start...])
  }

  /// As given; what is not given is the cluster's.
  private func rayCapacity(of executor: RayExecutor) async throws(RayExecutor.SetupError) -> Capacity {
    if let cpus = options.cpus, let memory = options.memory {
      return Capacity(executor: .ray, cpus: cpus, memoryBytes: memory.bytes, gpus: options.gpus ?? 0)
    }
    var capacity = try await executor.capacity()
    capacity.cpus = options.cpus ?? capacity.cpus
    capacity.memoryBytes = options.memory?.bytes ?? capacity.memoryBytes
    capacity.gpus = options.gpus ?? capacity.gpus
    return capacity
  }

  /// It goes into jobs that outlive this server, so it has to hold for the next one as well.
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
