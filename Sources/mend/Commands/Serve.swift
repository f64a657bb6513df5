import ArgumentParser
import Logging
import MendClient
import MendCore
import MendExecutors

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serves batches: keeps them, runs them on this machine or on a Ray cluster, and answers about them.",
    discussion: """
      Prints one line to stdout when it serves, and logs to stderr. SIGTERM or SIGINT ends it; what runs goes on running, \
      and the next server on the same data finds it again. SIGHUP reads certificates and tokens again; changed ones are \
      found without it, too. Without tokens it serves this machine only.

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
        A batch may name the executor that it runs on, by --deployment-mode or as deployment_mode of its JSON; else the \
      server's --executor runs it. With --executor local there is ray beside it where --ray says where; with --executor ray \
      there is local beside it, unless --no-local. Their room is apart: --cpus, --memory and --gpus are the --executor's, \
      --capacity says it of the other one. A cluster that is away holds up no local batch, nor the server's start. A server \
      that is started without the executor of a batch keeps it as it is, and says what it waits for.

      SIMULATED ATTEMPTS
        For tests and load: no process is started, and no document is read. How an attempt goes is said in words, by the \
      command, where it begins with 'simulate', and by MEND_SIMULATE in the extractor's environment. Without words every \
      document is completed at once. Equal words over equal documents let the same documents fail. Attempts end with \
      the server; the next one calls them orphaned.

      \(SimulatedBehaviour.words.map { "  " + $0 }.joined(separator: "\n"))
      """)

  @Option(help: ArgumentHelp("Where batches are kept; made where it is missing.", valueName: "DIR"))
  var data: String

  @Option(help: ArgumentHelp("Where calls are taken; port 0 picks a free one.", valueName: "HOST:PORT"))
  var listen = "127.0.0.1:7443"

  @Option(help: ArgumentHelp("A further socket for calls, beside DIR/mend.sock.", valueName: "PATH"))
  var unix: String?

  @Option(
    help: ArgumentHelp("Plain HTTP: /healthz, /readyz, /metrics; 'none' for nowhere.", valueName: "HOST:PORT"))
  var admin = "127.0.0.1:7444"

  @Option(
    help: """
      What runs attempts of batches that name no other: local is processes of this machine, ray is jobs of a Ray cluster, \
      simulated is nothing.
      """)
  var executor: ExecutorName = .local

  @Option(
    help: ArgumentHelp(
      """
      Where Ray's Jobs API is, such as http://ray-head:8265, for the --executor or for batches that name it; its token, \
      where it wants one, is MEND_RAY_TOKEN or in --ray-token-file. An extractor's env may have MEND_RAY_RUNTIME_ENV and MEND_RAY_RESOURCES, JSON objects for Ray's runtime_env and its \
      custom resources.
      """, valueName: "URL"))
  var ray: String?

  @Flag(help: "With --executor ray: nothing is run on this machine, whatever a batch names.")
  var noLocal = false

  @Option(
    help: ArgumentHelp(
      """
      Where workers on Ray's nodes reach this server; --listen where not given. With --tokens they show \
      MEND_RAY_WORKER_TOKEN, a token of the role worker, which is then to be seen in Ray's jobs.
      """, valueName: "HOST:PORT"))
  var workerEndpoint: String?

  @Option(
    name: .customLong("ray-token-file"),
    help: ArgumentHelp(
      "With --ray: the cluster's token, in place of MEND_RAY_TOKEN. Read again for each call, so it can be renewed.",
      valueName: "FILE"))
  var rayTokenFile: String?

  @Option(
    name: .customLong("worker-tls-ca"),
    help: ArgumentHelp(
      """
      With --tls-cert: the certificates, PEM, that workers on Ray's nodes trust this server's by; 'system' is their own \
      system's. Its text is handed to them, so the nodes need no such file.
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
      "Memory that jobs may be promised together, such as 16GiB; the machine's where not given.", valueName: "SIZE"),
    transform: Size.option)
  var memory: Size?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("GPUs that jobs may be promised together; the machine's where not given.", valueName: "N"))
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
      "Whom entrypoints and commands run as, and not as the server's own user; needs root.", valueName: "USER"))
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

  @Option(name: .customLong("tls-cert"), help: ArgumentHelp("The server's certificate chain, PEM.", valueName: "F"))
  var tlsCertificate: String?

  @Option(name: .customLong("tls-key"), help: ArgumentHelp("Its key, PEM.", valueName: "F"))
  var tlsKey: String?

  @Option(
    name: .customLong("tls-client-ca"),
    help: ArgumentHelp("Callers have to show a certificate that this authority signed, PEM.", valueName: "F"))
  var tlsClientAuthority: String?

  @Option(help: ArgumentHelp("Callers need a token of this file; see mend token create.", valueName: "F"))
  var tokens: String?

  @Option(
    name: .customLong("limit"),
    help: ArgumentHelp(
      "What a connection may cost, such as stall-time=30 or connections-per-address=100; a wrong name lists them all. "
        + "May be repeated. proto/PROTOCOL.md has the defaults.", valueName: "NAME=VALUE"),
    transform: CallLimit.option)
  var limits: [CallLimit] = []

  @Option(
    help: ArgumentHelp(
      """
      Where batches with notification_enabled are reported: a POST per final state, STUCK and heal, signed with \
      --notify-secret-file; proto/PROTOCOL.md says how. http or https.
      """, valueName: "URL"))
  var notifyURL: String?

  @Option(
    help: ArgumentHelp("The secret that notifications are signed with, 16 bytes or more.", valueName: "F"))
  var notifySecretFile: String?

  @Option(
    help: ArgumentHelp(
      "How long finished batches are kept, with their histories and their attempts' files: such as 12h or 30d.",
      valueName: "TIME"),
    transform: Retention.option)
  var keepFinished = Retention.standard

  @Option(
    help: ArgumentHelp(
      """
      How long calls are still taken after SIGTERM, while /readyz and health say that the server ends: as long as a \
      balancer needs to send new connections elsewhere. A second SIGTERM cuts it short.
      """, valueName: "SECONDS"))
  var drainDelay = 0

  @Option(help: ArgumentHelp("How long open calls may take to end, from then on.", valueName: "SECONDS"))
  var drainTimeout = 20

  @Option(help: "How much is logged.")
  var logLevel: LogLevel = .info

  enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
  }

  func validate() throws {
    _ = try QuotaOption.quotas(quotas)
    guard executor != .ray || ray != nil else {
      throw ValidationError("--executor ray needs --ray URL, where the cluster's Jobs API is.")
    }
    guard !noLocal || executor == .ray else {
      throw ValidationError("--no-local is for --executor ray, which has the local executor beside it otherwise.")
    }
    guard executorKinds.contains(.local) || attemptUser == nil else {
      throw ValidationError("--attempt-user is for the local executor, and this server is started without it.")
    }
    guard ray != nil || workerEndpoint == nil else {
      throw ValidationError("--worker-endpoint is for --ray; local workers use a socket below --data.")
    }
    guard ray == nil || (workerAuthority == nil) == (tlsCertificate == nil) else {
      throw ValidationError(
        "--ray with --tls-cert needs --worker-tls-ca FILE|system, by which workers trust this server, and the other way "
          + "round.")
    }
    guard ray != nil || rayTokenFile == nil else { throw ValidationError("--ray-token-file is for --ray.") }
    guard ray != nil || workerAuthority == nil else {
      throw ValidationError("--worker-tls-ca is for --ray; local workers use a socket below --data.")
    }
    try checkCapacities()
    guard (tlsCertificate == nil) == (tlsKey == nil) else {
      throw ValidationError("--tls-cert and --tls-key go together.")
    }
    guard tlsClientAuthority == nil || tlsCertificate != nil else {
      throw ValidationError("--tls-client-ca needs --tls-cert and --tls-key.")
    }
    guard (notifyURL == nil) == (notifySecretFile == nil) else {
      throw ValidationError("--notify-url and --notify-secret-file go together.")
    }
    if let cpus, !(cpus > 0 && cpus <= ValueLimit.cpus) {
      throw ValidationError("--cpus is a number above 0, at most \(Int(ValueLimit.cpus)).")
    }
    if let gpus, !(0...ValueLimit.gpus).contains(gpus) {
      throw ValidationError("--gpus is 0 to \(ValueLimit.gpus).")
    }
    for (name, seconds) in [("--drain-delay", drainDelay), ("--drain-timeout", drainTimeout)]
    where !(0...86_400).contains(seconds) {
      throw ValidationError("\(name) is a number of seconds from 0 to 86400.")
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
    // It shows figures only, but to everybody who can reach it.
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
