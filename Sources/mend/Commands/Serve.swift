import ArgumentParser
import Logging
import MendClient
import MendCore
import MendExecutors

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs the server: stores batches, runs them on this machine or on a Ray cluster, and answers calls.",
    discussion: """
      Prints one line to stdout when it is ready, and logs to stderr. SIGTERM or SIGINT ends it: running attempts keep \
      running, and the next server on the same data adopts them. SIGHUP reloads certificates and tokens; changed files are \
      also found without it. Without tokens it serves this machine only.

      EXAMPLES
        mend serve --data ./data
        mend serve --data /var/lib/mend --memory 16GiB --cpus 8
        mend serve --data /var/lib/mend --executor ray --ray http://ray-head:8265 --worker-endpoint mend-host:7443
        mend serve --data /var/lib/mend --ray http://ray-head:8265 --worker-endpoint mend-host:7443
        mend submit --deployment-mode ray --spec batch.json
        mend token create --tokens tokens.jsonl --namespace default --role operator
        mend serve --data /var/lib/mend --listen 0.0.0.0:7443 --tls-cert c.pem --tls-key k.pem --tokens tokens.jsonl
        mend serve --data ./try --executor simulated
        mend submit --tier 'text=simulate document_seconds=0.01 fail=3%:corrupt oom_at=57' *.pdf

      SEVERAL EXECUTORS
        A batch may name its executor, by --deployment-mode or as deployment_mode in its JSON; otherwise the server's \
      --executor runs it. With --executor local, --ray adds the cluster. With --executor ray, this machine runs batches as \
      well, unless you give --no-local. Each executor has its own capacity: --cpus, --memory and --gpus set that of the \
      --executor, --capacity that of the other one. A cluster that is away holds up neither local batches nor the start of \
      the server. A server that was started without the executor of a batch keeps the batch unchanged, and says what it \
      waits for.

      SIMULATED ATTEMPTS
        For tests and load. No process is started and no document is read. Settings control each attempt: give them in a \
      command that begins with 'simulate', or in MEND_SIMULATE in the extractor's environment. Without settings every \
      document is completed at once. The same settings over the same documents fail the same documents. Attempts end with \
      the server; the next server reports them as orphaned.

      \(SimulatedBehaviour.words.map { "  " + $0 }.joined(separator: "\n"))
      """)

  @Option(help: ArgumentHelp("The data directory; created if it is missing.", valueName: "DIR"))
  var data: String

  @Option(help: ArgumentHelp("The address for calls; port 0 picks a free port.", valueName: "HOST:PORT"))
  var listen = "127.0.0.1:7443"

  @Option(help: ArgumentHelp("A further Unix socket for calls, besides DIR/mend.sock.", valueName: "PATH"))
  var unix: String?

  @Option(
    help: ArgumentHelp(
      "The address for plain HTTP: /healthz, /readyz, /metrics. 'none' disables it.", valueName: "HOST:PORT"))
  var admin = "127.0.0.1:7444"

  @Option(
    help: """
      The executor of batches that name none: 'local' runs processes on this machine, 'ray' runs jobs on a Ray cluster, \
      'simulated' runs nothing.
      """)
  var executor: ExecutorName = .local

  @Option(
    help: ArgumentHelp(
      """
      The address of Ray's Jobs API, such as http://ray-head:8265. Its token, if it needs one, is MEND_RAY_TOKEN or the \
      content of --ray-token-file. An extractor's env may set MEND_RAY_RUNTIME_ENV and MEND_RAY_RESOURCES, JSON objects for \
      Ray's runtime_env and its custom resources.
      """, valueName: "URL"))
  var ray: String?

  @Flag(help: "With --executor ray: run nothing on this machine, whatever a batch names.")
  var noLocal = false

  @Option(
    help: ArgumentHelp(
      """
      The address at which workers on Ray's nodes reach this server; default: --listen. With --tokens they send \
      MEND_RAY_WORKER_TOKEN, a token of the role worker, which is then visible in Ray's jobs.
      """, valueName: "HOST:PORT"))
  var workerEndpoint: String?

  @Option(
    name: .customLong("ray-token-file"),
    help: ArgumentHelp(
      "With --ray: a file with the cluster's token, instead of MEND_RAY_TOKEN. Read for each call, so it can be renewed.",
      valueName: "FILE"))
  var rayTokenFile: String?

  @Option(
    name: .customLong("worker-tls-ca"),
    help: ArgumentHelp(
      """
      With --tls-cert: the CA certificates (PEM) by which workers on Ray's nodes verify this server; 'system' uses those \
      of their own system. The text is passed to them, so the nodes need no such file.
      """, valueName: "FILE|system"))
  var workerAuthority: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      CPUs that jobs on the --executor may be promised together; the machine's, the cluster's, or 1000 where not given.
      """, valueName: "N")
  )
  var cpus: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Memory that all jobs together may reserve, such as 16GiB; default: the machine's.", valueName: "SIZE"),
    transform: Size.option)
  var memory: Size?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("GPUs that all jobs together may reserve; default: the machine's.", valueName: "N"))
  var gpus: Int?

  @Option(
    name: .customLong("capacity"),
    help: ArgumentHelp(
      """
      The same of an executor by its name, such as ray=cpus:64,memory:256GiB,gpus:4; what is not said is the machine's or \
      the cluster's. May be given again.
      """, valueName: "EXECUTOR=..."), transform: CapacityOption.option)
  var capacities: [CapacityOption] = []

  @Option(
    help: ArgumentHelp(
      "The user that entrypoints and commands run as, instead of the server's own; needs root.", valueName: "USER"))
  var attemptUser: String?

  @Option(
    name: .customLong("quota"),
    help: ArgumentHelp(
      """
      What a namespace may have at once, such as team=cpus:4,memory:8GiB,gpus:1,batches:100; what is beyond it waits. \
      The namespace * is all that have no quota of their own. May be given again.
      """, valueName: "NAMESPACE=..."), transform: QuotaOption.option)
  var quotas: [QuotaOption] = []

  @Flag(
    help: """
      Where --data is a copy of another data directory: it becomes one of its own. What its journal calls running is the \
      original's, and is run again here by the batches' rules.
      """)
  var adoptCopy = false

  @Option(name: .customLong("tls-cert"), help: ArgumentHelp("The server's certificate chain (PEM).", valueName: "F"))
  var tlsCertificate: String?

  @Option(name: .customLong("tls-key"), help: ArgumentHelp("The server's private key (PEM).", valueName: "F"))
  var tlsKey: String?

  @Option(
    name: .customLong("tls-client-ca"),
    help: ArgumentHelp("Require callers to have a certificate signed by this CA (PEM).", valueName: "F"))
  var tlsClientAuthority: String?

  @Option(help: ArgumentHelp("Require callers to have a token from this file; see mend token create.", valueName: "F"))
  var tokens: String?

  @Option(
    name: .customLong("limit"),
    help: ArgumentHelp(
      "A limit on connections or memory, such as stall-time=30 or document-memory=8GiB; an unknown name lists all. "
        + "Repeatable. proto/PROTOCOL.md has the defaults.", valueName: "NAME=VALUE"),
    transform: CallLimit.option)
  var limits: [CallLimit] = []

  @Option(
    help: ArgumentHelp(
      """
      An http or https URL that is notified about batches with notification_enabled: a POST for each final state, each \
      STUCK and each heal, signed with --notify-secret-file. proto/PROTOCOL.md describes it.
      """, valueName: "URL"))
  var notifyURL: String?

  @Option(
    help: ArgumentHelp("A file with the secret that signs notifications, 16 bytes or more.", valueName: "F"))
  var notifySecretFile: String?

  @Option(
    help: ArgumentHelp(
      "How long to keep finished batches, with their histories and their attempts' files, such as 12h or 30d.",
      valueName: "TIME"),
    transform: Retention.option)
  var keepFinished = Retention.standard

  @Option(
    help: ArgumentHelp(
      """
      How long to accept calls after SIGTERM, while /readyz and health checks report that the server is stopping: as \
      long as a load balancer needs to send new connections elsewhere. A second SIGTERM cuts it short.
      """, valueName: "SECONDS"))
  var drainDelay = 0

  @Option(help: ArgumentHelp("How long open calls may take to end after that.", valueName: "SECONDS"))
  var drainTimeout = 20

  @Option(help: "The log level.")
  var logLevel: LogLevel = .info

  enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
  }

  func validate() throws {
    _ = try QuotaOption.quotas(quotas)
    guard executor != .ray || ray != nil else {
      throw ValidationError("--executor ray needs --ray URL, the address of the cluster's Jobs API.")
    }
    guard !noLocal || executor == .ray else {
      throw ValidationError("--no-local needs --executor ray.")
    }
    guard executorKinds.contains(.local) || attemptUser == nil else {
      throw ValidationError("--attempt-user needs the local executor, which this server does not have.")
    }
    guard ray != nil || workerEndpoint == nil else {
      throw ValidationError("--worker-endpoint needs --ray; local workers use a socket below --data.")
    }
    guard ray == nil || (workerAuthority == nil) == (tlsCertificate == nil) else {
      throw ValidationError(
        "--ray with --tls-cert needs --worker-tls-ca FILE|system, by which workers verify this server, and "
          + "--worker-tls-ca needs --tls-cert.")
    }
    guard ray != nil || rayTokenFile == nil else { throw ValidationError("--ray-token-file needs --ray.") }
    guard ray != nil || workerAuthority == nil else {
      throw ValidationError("--worker-tls-ca needs --ray; local workers use a socket below --data.")
    }
    try checkCapacities()
    guard (tlsCertificate == nil) == (tlsKey == nil) else {
      throw ValidationError("--tls-cert and --tls-key must be given together.")
    }
    guard tlsClientAuthority == nil || tlsCertificate != nil else {
      throw ValidationError("--tls-client-ca needs --tls-cert and --tls-key.")
    }
    guard (notifyURL == nil) == (notifySecretFile == nil) else {
      throw ValidationError("--notify-url and --notify-secret-file must be given together.")
    }
    if let cpus, !(cpus > 0 && cpus <= ValueLimit.cpus) {
      throw ValidationError("--cpus must be above 0 and at most \(Int(ValueLimit.cpus)).")
    }
    if let gpus, !(0...ValueLimit.gpus).contains(gpus) {
      throw ValidationError("--gpus must be 0 to \(ValueLimit.gpus).")
    }
    for (name, seconds) in [("--drain-delay", drainDelay), ("--drain-timeout", drainTimeout)]
    where !(0...86_400).contains(seconds) {
      throw ValidationError("\(name) must be 0 to 86400 seconds.")
    }
  }

  func run() async throws {
    let address = try Self.address(listen, "--listen")
    guard address.isLocal || (tlsCertificate != nil && tokens != nil) else {
      throw ProgramError.usage(
        """
        --listen \(listen) can be reached from other machines, so callers have to be known and the line private: give \
        --tls-cert, --tls-key and --tokens (mend token create makes one), or listen on 127.0.0.1
        """)
    }
    let adminAddress = admin == "none" ? nil : try Self.address(admin, "--admin")
    // The admin port shows only figures, but to everybody who can reach it.
    guard adminAddress?.isLocal ?? true || (tlsCertificate != nil && tokens != nil) else {
      throw ProgramError.usage(
        "--admin \(admin) can be reached from other machines, and the server has no TLS and tokens: give --tls-cert, "
          + "--tls-key and --tokens, or --admin 127.0.0.1:7444")
    }
    let workerFile = workerAuthority == "system" ? nil : workerAuthority
    for file in [tlsCertificate, tlsKey, tlsClientAuthority, workerFile].compactMap(\.self) {
      try FileDocuments.checkReadable(file)
    }
    try await ServingProgram(options: self, listen: address, admin: adminAddress).run()
  }

  static func address(_ text: String, _ option: String) throws -> Endpoint {
    do throws(MendError) {
      let address = try Endpoint(text)
      if case .unix = address {
        throw MendError(
          .invalidArgument, "'\(text)' is a Unix socket; \(option) is HOST:PORT, --unix takes a socket's path")
      }
      return address
    } catch {
      throw ProgramError.usage("\(option): \(error.message)")
    }
  }
}
